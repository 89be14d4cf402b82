"""Reading a finished run, against its files read independently."""

from typing import Any

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from exporters.core.files import read_json, write_json
from pipeline.comparison.results import ArmResult, SeedResult, read_result, widest_teacher
from pipeline.recipe.reading import renamed
from pipeline.recipe.reading.renamed import Renamed
from pipeline.runner.rundir import RunDirectory
from tests.pipeline.conftest import Run


def read(run: Run) -> SeedResult:
    return read_result(RunDirectory(run.directory), 3, "tiny")


def test_a_finished_run_is_read(run: Run) -> None:
    result = read(run)
    verdict = read_json(run.directory / "validate" / "verdict.json")
    assert (result.seed, result.run) == (3, "tiny")
    for which in ("chosen", "final"):
        assert result.validation[which] == verdict["student"][which]["validation"]["top1"]
        assert result.test[which] == verdict["student"][which]["test"]["top1"]
        assert result.correct[which].dtype == np.bool_ and result.correct[which].shape == (24,)
        assert int(result.correct[which].sum()) == verdict["student"][which]["test"]["correct"]
    assert result.teacher == verdict["teacher"]
    assert (result.nll, result.ece) == tuple(verdict["student"]["chosen"]["test"][key] for key in ("nll", "ece"))
    assert result.corrupted is None
    assert result.chance == pytest.approx(8 / 24)
    # 48 training images in batches of 16.
    assert result.seconds_per_epoch == pytest.approx(48 / run.record("distill")["summary"]["images_per_second"])


def test_accuracy_under_corruption_is_averaged_over_severities(run: Run) -> None:
    path = run.directory / "validate" / "verdict.json"
    top1 = {"blur": {"1": 0.8, "3": 0.5, "5": 0.2}, "jpeg": {"1": 0.9, "3": 0.9, "5": 0.6}}
    write_json(path, read_json(path) | {"corruptions": {"images": 24, "mean_top1": 0.65, "top1": top1}})
    assert read(run).corrupted == pytest.approx({"blur": 0.5, "jpeg": 0.8, "mean": 0.65})


@pytest.mark.parametrize(("images", "seen"), [(48, 48), (50, 48), (31, 16), (16, 16), (9, 9)])
def test_epoch_leaves_out_an_incomplete_batch(run: Run, images: int, seen: int) -> None:
    path = run.directory / "data" / "index.json"
    index = read_json(path)
    index["splits"]["train"]["images"] = images
    write_json(path, index)
    rate = run.record("distill")["summary"]["images_per_second"]
    assert read(run).seconds_per_epoch == pytest.approx(seen / rate)


def test_lock_with_a_key_under_its_former_name_is_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = run.directory / "recipe.lock.yaml"
    lock.write_text(lock.read_text().replace("\n  batch_size: 16\n", "\n  batch: 16\n"))
    monkeypatch.setattr(renamed, "RENAMED", (Renamed("train.batch", "train.batch_size", "0.1"),))
    assert "\n  batch: 16\n" in lock.read_text()
    rate = run.record("distill")["summary"]["images_per_second"]
    assert read(run).seconds_per_epoch == pytest.approx(48 / rate)


def test_a_missed_gate_does_not_matter(run: Run) -> None:
    before, path = read(run), run.directory / "stages" / "validate.json"
    write_json(path, read_json(path) | {"status": "failed"})
    assert read(run).test == before.test


@pytest.mark.parametrize(
    "name",
    ["validate/verdict.json", "validate/predictions.npz", "stages/distill.json", "data/index.json", "recipe.lock.yaml"],
)
@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut", b"{}"])
def test_missing_or_damaged_file_is_named(run: Run, name: str, content: bytes | None) -> None:
    path = run.directory / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(UnavailableError, match="the results cannot be read") as caught:
        read(run)
    assert str(run.directory) in caught.value.message and caught.value.remedy


def arm(*views: str) -> ArmResult:
    teacher: dict[str, Any] | None = {"test": {"views": dict.fromkeys(views, 0.5)}} if views else None
    seed = SeedResult(0, "run", {}, {}, 1.0, {}, teacher)
    return ArmResult("-".join(views), "tmkd", "kd", {}, None, (seed,))


def test_the_teacher_with_most_views_is_shown() -> None:
    arms = (arm(), arm("rgb"), arm("edge", "rgb"), arm("high_frequency", "rgb"))
    assert set(widest_teacher(arms)["test"]["views"]) == {"edge", "rgb"}
    assert widest_teacher((arm(),)) == {}


def test_winner_of_a_race_is_read_from_its_record(run: Run) -> None:
    assert read(run).chose is None
    record = read_json(run.directory / "stages" / "distill.json")
    path = run.directory / "stages" / "race.json"
    write_json(path, record | {"stage": "race", "summary": {"winner": "tmkd on kd", "candidates": 5}})
    assert read(run).chose == "tmkd on kd"
    write_json(path, record | {"stage": "race", "status": "skipped", "summary": {}})
    assert read(run).chose is None
