import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from exporters.core.files import write_text
from pipeline.costs import estimate
from pipeline.costs.counts import Counts
from pipeline.costs.estimate import costs_of
from pipeline.costs.flops import NetworkSize
from pipeline.costs.probe import Prices
from pipeline.costs.seconds import Seconds, total
from pipeline.costs.work import OPERATIONS, work_of
from pipeline.data.listing import Listing, Split
from pipeline.runner.planning import PlannedStage
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.costs.recipes import small_recipe

COUNTS = Counts(train=100, validation=20, test=40, classes=10)
PRICES = Prices(
    {name: Seconds(2.0 + number, 1.0) for number, name in enumerate(OPERATIONS)}, {"student": NetworkSize(1, 10)}, "cpu"
)


def test_stage_costs_its_work_at_the_prices_and_nothing_where_it_is_reused(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path)
    actions = {"data": "reuse", "teacher": "run", "race": "skip", "distill": "wait"}
    costs = {each.stage: each for each in costs_of(recipe, RunDirectory(tmp_path), actions, COUNTS, PRICES, True)}
    work = work_of(recipe, COUNTS, cached=True)
    assert costs["teacher"].seconds == total(work["teacher"], PRICES.prices) + PRICES.prices["checks"]
    assert costs["distill"].seconds == total(work["distill"], PRICES.prices)
    assert costs["data"].seconds == costs["race"].seconds == Seconds()
    assert [costs[name].basis for name in actions] == ["reused", "probe", "", "probe"]


def test_earlier_run_corrects_the_estimate_by_what_it_was_off(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    (tmp_path / "run").mkdir()
    before, now = small_recipe(tmp_path), small_recipe(tmp_path, "train.epochs=20")
    write_text(run.path / "recipe.lock.yaml", before.to_yaml())
    expected = total(work_of(before, COUNTS, cached=True)["distill"], PRICES.prices)
    run.write_record(StageRecord("distill", "done", "x", seconds=1.5 * expected.wall))
    (cost,) = costs_of(now, run, {"distill": "run"}, COUNTS, PRICES, True)
    plain = total(work_of(now, COUNTS, cached=True)["distill"], PRICES.prices)
    assert cost.basis == "measured"
    checks = PRICES.prices["checks"]
    assert cost.seconds.wall == pytest.approx(1.5 * plain.wall + checks.wall)
    assert cost.seconds.cpu == plain.cpu + checks.cpu
    # Seconds of another network say nothing.
    other = now.model_copy(update={"student": now.student.model_copy(update={"model": "cifar:resnet20"})})
    (cost,) = costs_of(other, run, {"distill": "run"}, COUNTS, PRICES, True)
    assert cost.basis == "probe"


def test_failed_or_unreadable_history_is_no_history(tmp_path: Path) -> None:
    run, recipe = RunDirectory(tmp_path / "run"), small_recipe(tmp_path)
    (tmp_path / "run").mkdir()
    run.write_record(StageRecord("distill", "done", "x", seconds=10))
    write_text(run.path / "recipe.lock.yaml", "trian: {}\n")
    assert costs_of(recipe, run, {"distill": "run"}, COUNTS, PRICES, True)[0].basis == "probe"
    write_text(run.path / "recipe.lock.yaml", recipe.to_yaml())
    run.write_record(replace(run.record("distill"), status="failed"))  # type: ignore[type-var]
    assert costs_of(recipe, run, {"distill": "run"}, COUNTS, PRICES, True)[0].basis == "probe"


def test_candidates_that_the_networks_do_not_allow_cost_nothing(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path, "distill.method=auto", "distill.auto.candidates=[cat_kd,kd,dkd]")
    fewer = small_recipe(tmp_path, "distill.method=auto", "distill.auto.candidates=[kd,dkd]")
    allowed = replace(PRICES, candidates=("ce", "kd", "dkd", "dist"))
    (whole,), (found,), (expected,) = (
        costs_of(each, RunDirectory(tmp_path), {"race": "run"}, COUNTS, prices, True)
        for each, prices in ((recipe, PRICES), (recipe, allowed), (fewer, PRICES))
    )
    assert found == expected and found.seconds.wall < whole.seconds.wall


def test_a_listing_is_let_go_before_networks_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a million images takes as much memory as a network."""
    listings: list[weakref.ref[Listing]] = []

    def read(_settings: object) -> Listing:
        listing = Listing(tmp_path, ["a"], {name: Split(["1"], [0]) for name in ("train", "test")})
        listings.append(weakref.ref(listing))
        return listing

    def probe(*_: object) -> Prices:
        assert [each() for each in listings] == [None]
        return PRICES

    monkeypatch.setattr(estimate, "read_listing", read)
    monkeypatch.setattr("pipeline.costs.loading.sample_listing", lambda *_: (SimpleNamespace(classes=["a"]), Seconds()))
    monkeypatch.setattr("pipeline.costs.loading.fits_in_memory", lambda *_: True)
    monkeypatch.setattr("pipeline.costs.loading.loading_prices", lambda *_: {})
    monkeypatch.setattr("pipeline.costs.probe.probe_networks", probe)
    planned = [PlannedStage("data", "run", ()), PlannedStage("distill", "run", ())]
    found = estimate.estimate_run(small_recipe(tmp_path), RunDirectory(tmp_path), planned, quick=True)
    assert found.counts.classes == 1 and [each.stage for each in found.stages] == ["data", "distill"]
