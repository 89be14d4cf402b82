"""The three files of a benchmark."""

import importlib.util
from pathlib import Path

import pytest

from exporters.benchmark.markdown import to_markdown
from exporters.benchmark.report import report_folder, write_report
from exporters.benchmark.table import COLUMNS, SHORT_COLUMNS, rows, throughput
from exporters.core.errors import UsageError
from exporters.core.files import read_json
from tests.exporters.benchmark.results import made_up

GOLDEN = Path(__file__).with_name("golden.md")


def test_markdown_is_as_it_was() -> None:
    assert to_markdown(made_up(), figure="benchmark.png") == GOLDEN.read_text("utf-8")
    assert "benchmark.png" not in to_markdown(made_up())


def test_rows_have_all_columns() -> None:
    table = rows(made_up(), 2)
    assert {len(row) for row in table} == {len(COLUMNS), len(SHORT_COLUMNS)} and len(table) == 3
    assert dict(zip(COLUMNS, table[2], strict=True)) == {
        "runtime": "ORT-CPU", "precision": "int8", "size MB": "2.60", "p50 ms": "0.62", "p95 ms": "0.94",
        "p99 ms": "1.25", "images/s (batch)": "1,600 (1)", "top-1 %": "90.75", "agreement %": "98.50",
        "memory MB": "64", "vs torch": "6.40", "vs fp32": "2.00",
    }  # fmt: skip
    assert dict(zip(COLUMNS, table[0], strict=True))["vs torch"] == "–"


def test_a_batch_that_was_left_out_is_a_gap() -> None:
    result = made_up()
    del result["results"][0]["batches"][1]
    columns, cells = throughput(result, 1)
    assert columns == ["runtime", "precision", "batch 1", "batch 16"]
    assert cells[0] == ["torch-CPU", "fp32", "125", "–"] and cells[1] == ["ORT-CPU", "fp32", "400", "400"]


def test_files_are_written_and_the_figure_only_where_it_can_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "out"
    assert write_report(made_up(), folder) == ["benchmark.json", "benchmark.md", "benchmark.png"]
    assert read_json(folder / "benchmark.json") == made_up()
    drawn = (folder / "benchmark.png").read_bytes()
    assert drawn.startswith(b"\x89PNG") and int.from_bytes(drawn[16:20], "big") == 2000
    assert "benchmark.png" in (folder / "benchmark.md").read_text("utf-8")

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "matplotlib" else find(name, *more)
    )
    assert write_report(made_up(), folder) == ["benchmark.json", "benchmark.md"]
    assert sorted(path.name for path in folder.iterdir()) == ["benchmark.json", "benchmark.md"]
    assert "benchmark.png" not in (folder / "benchmark.md").read_text("utf-8")


def test_files_go_beside_the_bundle_and_never_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    assert report_folder(bundle, None) == tmp_path / "bundle.benchmark"
    assert report_folder(bundle, tmp_path / "there") == tmp_path / "there"
    monkeypatch.chdir(bundle)
    assert report_folder(Path(), None) == tmp_path / "bundle.benchmark"
    (tmp_path / "file").touch()
    for out in (bundle, bundle / "golden", Path("speed"), tmp_path / "file"):
        with pytest.raises(UsageError):
            report_folder(bundle, out)
