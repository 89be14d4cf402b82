"""The files that a search leaves."""

from pathlib import Path

from exporters.core.files import read_json
from pipeline.search.report import FRONT, PAGE, console_table, write_report
from pipeline.search.space import Bounds
from tests.pipeline.search.making import asked_on
from tests.pipeline.search.test_outcome import LARGE, SMALL, concluded, results


def test_report_names_all_candidates_with_their_fate(tiny_recipe: Path, tmp_path: Path) -> None:
    asked = asked_on(tiny_recipe, bounds=Bounds(latency_ms=1.5))
    outcome = concluded(asked, results(asked))
    write_report(asked, outcome, "tmkd-pipeline search tiny", tmp_path)
    text = (tmp_path / PAGE).read_text()
    assert all(f"| {each.name} |" in text for each in outcome.candidates)
    assert f"Chosen: **{LARGE}, kd, int8**" in text and "at most 1.5 ms" in text
    assert "dropped after 2 epochs: others are better" in text and "dropped at the end: 2 ms, at most 1.5" in text
    assert read_json(tmp_path / FRONT)["chosen"] == f"{LARGE}, kd, int8"
    assert (tmp_path / "front.png").read_bytes()[:4] == b"\x89PNG" and b"<svg" in (tmp_path / "front.svg").read_bytes()


def test_without_finished_candidates_there_is_no_figure(tiny_recipe: Path, tmp_path: Path) -> None:
    asked = asked_on(tiny_recipe)
    write_report(asked, concluded(asked, {}), "tmkd-pipeline search tiny", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [FRONT, PAGE]
    assert "None is within the bounds." in (tmp_path / PAGE).read_text()


def test_table_has_untrained_costs_in_parentheses(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe)
    _, columns, rows, _ = console_table(asked, concluded(asked, results(asked)))
    shown = {row[0]: row for row in rows}
    assert all(len(row) == len(columns) for row in rows)
    assert shown[f"{SMALL}, ce, fp32"][2:] == ["50.00", "—", "(1)", "(0.3)"]
    assert shown[f"{LARGE}, kd, fp32"][1:] == ["chosen", "90.00", "80.00", "2", "0.7"]
