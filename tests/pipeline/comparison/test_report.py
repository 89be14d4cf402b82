"""The files of a report, against the results that they were made from."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.comparison.analysis import analyse
from pipeline.comparison.report import console_table, to_json, write_report
from pipeline.console import Console
from tests.pipeline.comparison.examples import large_comparison


def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    names = ["compare.json", "compare.md", "compare.png"]
    for folder in ("first", "second"):
        write_report(large_comparison(2), tmp_path / folder)
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == names
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_json_holds_everything_that_the_figures_follow_from() -> None:
    comparison = replace(large_comparison(3), weaknesses=("one data set",))
    value = json.loads(json.dumps(to_json(comparison, analyse(comparison)), allow_nan=False))
    assert value["recipe"] == {"name": "cifar10", "sha256": "ab" * 32}
    assert value["command"] == comparison.command and value["weaknesses"] == ["one data set"]
    assert value["test_images"] == 3000 and value["teacher"]["test"]["fused"] == 0.834
    assert [arm["name"] for arm in value["arms"]] == [arm.name for arm in comparison.arms]
    for entry, arm in zip(value["arms"], comparison.arms, strict=True):
        assert (entry["method"], entry["base"], entry["ablates"]) == (arm.method, arm.base, arm.ablates)
        assert entry["settings"] == arm.settings and entry["reference"] == arm.reference
        accuracies = [seed["test"]["chosen"] for seed in entry["seeds"]]
        assert accuracies == [seed["test_correct"]["chosen"] / 3000 for seed in entry["seeds"]]
        assert entry["test"]["chosen"]["mean"] == pytest.approx(np.mean(accuracies))
        assert entry["test"]["chosen"]["std"] == pytest.approx(np.std(accuracies, ddof=1))
        assert [seed["run"] for seed in entry["seeds"]] == [f"{arm.name}-seed{index}" for index in range(3)]
        assert (entry["difference"] is None) == (arm.reference is None)


def test_likelihood_calibration_and_corruptions_are_in_json() -> None:
    comparison = large_comparison(2)
    first = comparison.arms[0]
    seeds = tuple(
        replace(seed, nll=0.5 + number, ece=0.1, corrupted={"blur": 0.25, "mean": 0.5})
        for number, seed in enumerate(first.seeds)
    )
    comparison = replace(comparison, arms=(replace(first, seeds=seeds), *comparison.arms[1:]))
    measured, other = to_json(comparison, analyse(comparison))["arms"][:2]
    assert measured["nll"]["mean"] == 1.0 and measured["ece"]["mean"] == pytest.approx(0.1)
    assert measured["corrupted"]["blur"]["mean"] == 0.25
    assert measured["seeds"][1]["nll"] == 1.5 and measured["seeds"][1]["corrupted"] == {"blur": 0.25, "mean": 0.5}
    assert other["nll"] is None and other["corrupted"] is None and other["seeds"][0]["ece"] is None


def test_differences_in_json_are_those_of_the_seeds() -> None:
    comparison = large_comparison(3)
    arms = {arm["name"]: arm for arm in to_json(comparison, analyse(comparison))["arms"]}
    for arm in arms.values():
        if arm["difference"] is None:
            continue
        reference = arms[arm["reference"]]
        for which, difference in arm["difference"].items():
            by_seed = [
                ours["test"][which] - theirs["test"][which]
                for ours, theirs in zip(arm["seeds"], reference["seeds"], strict=True)
            ]
            assert difference["differences"] == pytest.approx(by_seed, abs=1e-12)
            low, high = difference["interval"]
            assert low < difference["mean"] < high
            holds = low <= 0 <= high
            assert difference["verdict"] == ("not distinguishable" if holds else "better" if low > 0 else "worse")
            assert [test["gained"] - test["lost"] for test in difference["mcnemar"]] == [
                round(3000 * d) for d in by_seed
            ]


def test_the_console_shows_every_arm() -> None:
    comparison = large_comparison(3)
    out = io.StringIO()
    title, columns, rows, words = console_table(comparison, analyse(comparison))
    Console(out, plain=True).table(title, columns, rows, words)
    text = out.getvalue()
    assert "cifar10: 12 arms, 3 seeds" in text
    assert all(len(row) == len(columns) for row in rows)
    row = next(line for line in text.splitlines() if "tmkd on cat_kd " in line)
    (paired,) = (each.paired for each in analyse(comparison) if each.arm.name == "tmkd on cat_kd")
    assert paired is not None
    assert f"{100 * paired['chosen'].mean:+.2f} ± {100 * (paired['chosen'].std or 0):.2f}" in row
    assert "cat_kd + kd" in row
    assert ", 1 seed (" in console_table(large_comparison(1), analyse(large_comparison(1)))[0]
