"""The tables of the page, against the numbers of compare.json and of the runs' files."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.comparison.analysis import analyse
from pipeline.comparison.best import best_arm
from pipeline.comparison.page.facts import read_comparison
from pipeline.comparison.page.tables import shared_seconds, tables
from pipeline.comparison.report import to_json
from pipeline.comparison.wins import wins
from pipeline.report.page.table import Table
from tests.pipeline.comparison.making import CPU, EPOCHS, PARTS, make_folder


def made(folder: Path, **options: Any) -> tuple[dict[str, Table], dict[str, Any]]:
    """The tables of a comparison, and its results as compare.json has them."""
    make_folder(folder, **options)
    facts = read_comparison(folder)
    assert facts.comparison is not None
    found = wins(facts.figures) if len(facts.figures) > 1 else None
    given = dict(tables(facts, best_arm(facts.figures), found, None))
    return given, json.loads(json.dumps(to_json(facts.comparison, analyse(facts.comparison))))


def mean_and_std(value: dict[str, Any]) -> str:
    mean = f"{100 * value['mean']:.2f}"
    return mean if value["std"] is None else f"{mean} ± {100 * value['std']:.2f}"


def signed(share: float) -> str:
    return "0.00" if round(100 * share, 2) == 0 else f"{100 * share:+.2f}"


def both_signed(ends: list[float]) -> str:
    return f"[{signed(ends[0])}, {signed(ends[1])}]"


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_every_number_is_that_of_the_result(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    given, result = made(tmp_path / "cmp", seeds=seeds, corruptions=True)
    arms = {arm["name"]: arm for arm in result["arms"]}
    for name, chosen, within, final, within_final, validation, ran in given["accuracy"].rows:
        arm = arms[name]
        assert chosen == mean_and_std(arm["test"]["chosen"]) and final == mean_and_std(arm["test"]["final"])
        assert validation == mean_and_std(arm["validation"]["chosen"])
        assert ran == {1: "1 (seed 0)", 3: "3 (seeds 0, 1, 2)"}[len(seeds)]
        for text, which in ((within, "chosen"), (within_final, "final")):
            low, high = arm["test_interval"][which]
            assert text == f"{100 * low:.2f} to {100 * high:.2f}" and low <= arm["test"][which]["mean"] <= high
    runs = {seed["run"]: seed for arm in result["arms"] for seed in arm["seeds"]}
    assert len(given["seeds"].rows) == len(runs) == 3 * len(seeds)
    for _arm, run, chosen, final, validation, nll, ece, per_epoch in given["seeds"].rows:
        seed = runs[run]
        assert [chosen, final] == [f"{100 * seed['test'][which]:.2f}" for which in ("chosen", "final")]
        assert [validation, nll, ece, per_epoch] == [
            f"{100 * seed['validation']['chosen']:.2f}",
            f"{seed['nll']:.3f}",
            f"{100 * seed['ece']:.2f}",
            f"{seed['seconds_per_epoch']:.1f}",
        ]
    for row in given["differences"].rows:
        name, _less, reference = row[0].rpartition(" less ")
        paired = arms[name]["difference"]["chosen"]
        assert (reference, row[1]) == (arms[name]["reference"], paired["verdict"])
        assert row[2].split(" ")[0] == signed(paired["mean"]) and row[3] == both_signed(paired["interval"])
        assert row[4] == ("—" if len(seeds) == 1 else both_signed(paired["t_interval"]))
        assert row[5] == ", ".join(map(signed, paired["differences"]))
    assert given["best"].title.startswith(result["best"]["arm"])
    for row in given["best"].rows:
        paired = result["best"]["differences"][row[0].removeprefix("less ")]
        assert (row[1], row[3]) == (paired["verdict"], both_signed(paired["interval"]))
    for name, right, alone, wrong in given["wins"].rows:
        images = arms[name]["images"]
        assert [right, alone, wrong] == [str(images[key]) for key in ("right", "only_this_right", "only_this_wrong")]
    for name, nll, ece in given["probabilities"].rows:
        assert nll.split(" ")[0] == f"{arms[name]['nll']['mean']:.3f}" and ece == mean_and_std(arms[name]["ece"])
    assert given["corruptions"].columns == ["arm", "all", "blur", "jpeg"]
    for name, *values in given["corruptions"].rows:
        assert values == [mean_and_std(arms[name]["corrupted"][kind]) for kind in ("mean", "blur", "jpeg")]


def test_cost_is_that_of_the_epochs_by_part(tmp_path: Path) -> None:
    given, _result = made(tmp_path / "cmp")
    assert given["cost"].columns == ["arm", "wall", "CPU", "median epoch", *PARTS]
    for row in given["cost"].rows:
        assert row[1:3] == [f"{EPOCHS * each:.1f} ± 0.0" for each in (sum(PARTS.values()), CPU)]
        assert row[4:] == [f"{EPOCHS * seconds:.1f}" for seconds in PARTS.values()]


def test_stage_that_runs_share_counts_once(tmp_path: Path) -> None:
    make_folder(tmp_path / "cmp")
    assert shared_seconds(read_comparison(tmp_path / "cmp")) == {"data": 2.0}  # one fingerprint everywhere


def test_runs_without_results_are_listed_with_the_reason(tmp_path: Path) -> None:
    given, result = made(tmp_path / "cmp", missing=[("kd", 1), ("tmkd on kd", 0), ("tmkd on kd", 1)])
    assert [row[0] for row in given["missing"].rows] == ["kd, seed 1", "tmkd on kd, seed 0", "tmkd on kd, seed 1"]
    assert {row[1] for row in given["missing"].rows} == {"not begun"}
    assert [row[0] for row in given["accuracy"].rows] == [arm["name"] for arm in result["arms"]] == ["ce", "kd"]
    assert [row[0] for row in given["settings"].rows] == ["ce", "kd", "tmkd on kd"]


def test_single_arm_is_compared_with_nothing(tmp_path: Path) -> None:
    given, result = made(tmp_path / "cmp", arms=["ce"])
    assert not {"differences", "best", "wins"} & set(given) and result["best"]["differences"] == {}
