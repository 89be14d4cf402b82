"""The three files of a benchmark."""

import importlib.util
from pathlib import Path

import pytest

from exporters.benchmark.report import report_folder, write_report
from exporters.core.errors import UsageError
from exporters.core.files import read_json
from tests.exporters.benchmark.results import made_up


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
