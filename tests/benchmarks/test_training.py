"""The training benchmark: contenders do the same work, every ratio is measured; speed itself is not tested."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.training import meters, naive, ours
from benchmarks.training.__main__ import STEPWISE, main
from benchmarks.training.augmenting import KINDS, decoded, image_by_image
from benchmarks.training.comparison import recipe_of
from benchmarks.training.measuring import Claim, Cost, cost_of, interleaved
from benchmarks.training.subjects import PAIRS, TINY, Subjects, drawn_index
from benchmarks.training.table import TITLES, to_markdown
from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.loading import Loader
from pipeline.recipe import load_recipe


def test_naive_loop_and_ours_have_the_same_losses() -> None:
    subjects = Subjects(TINY)
    settings = ours.distill_settings("tmkd", balance="none")
    teacher = ours.teacher_of(subjects, settings)
    (theirs,) = naive.steps(subjects, settings)()
    found = ours.stepping(subjects, ours.training_of(subjects, settings, teacher))()
    assert set(found) == {"loss_ce", "loss_logits", "loss_feature", "loss_contrast", "loss"}  # type: ignore[arg-type]
    assert found["loss"] == pytest.approx(theirs, rel=1e-5)  # type: ignore[index]


@pytest.mark.parametrize("kind", KINDS)
def test_augmentation_in_batches_and_image_by_image_give_the_same_pixels(tmp_path: Path, kind: str) -> None:
    index = drawn_index(tmp_path, TINY)
    augmentation = Augmentation(KINDS[kind], Geometry(32, 32), 0)
    with Loader(index, index.root, 0) as loader:
        batches = loader.training_batches(augmentation, 8, seed=0, epoch=3)
        for batch, images in zip(batches, image_by_image(decoded(index), augmentation, 8, 3), strict=True):
            assert torch.equal(batch.images, images)


def test_every_stepwise_ratio_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    try:
        main(["--tiny", "--rounds", "1", "--pixels", "32", "--json"])
    finally:
        torch.set_num_threads(threads)
    written = capsys.readouterr().out
    lines = [json.loads(line) for line in written.splitlines()]
    assert {line["comparison"] for line in lines} == set(TITLES) - {"compare"}
    for line in lines:
        ours_, peer = (sum(line["seconds"][name]["cpu"] for name in line[side].split("+")) for side in ("ours", "peer"))
        assert line["ratio"]["cpu"] == pytest.approx(ours_ / peer, rel=1e-3)
        assert line["machine"]["packages"]["torch"] and line["peers"]["timm"] and line["threads"] == 1
    (tmp_path / "lines.jsonl").write_text(written)
    main(["--table", str(tmp_path / "lines.jsonl")])
    table = capsys.readouterr().out
    assert table == f"{to_markdown(lines)}\n"
    assert len([row for row in table.splitlines() if row.startswith("| ")]) == 1 + len(lines)


def test_ratio_is_the_median_of_the_rounds_and_parts_add_up() -> None:
    costs = {
        "one": [Cost(1, 2), Cost(9, 3), Cost(1, 10)],
        "left": [Cost(1, 1), Cost(2, 2), Cost(1, 3)],
        "right": [Cost(1, 1), Cost(1, 1), Cost(1, 1)],
    }
    claim = Claim("cold_parts", "one", "left+right", costs, 32, 1.05, {})
    assert claim.ratio("cpu") == 1  # of 2/2, 3/3, 10/4
    assert claim.ratio("wall") == 0.5  # of 1/2, 9/3, 1/2
    assert claim.holds
    assert not Claim("faster", "one", "left", costs, 0, 20, {}, at_least=True).holds
    assert Claim("unbounded", "one", "left", costs, 32, None, {}).holds is None
    assert claim.to_json()["seconds"]["one"] == {"cpu": 3, "wall": 1}


def test_table_shows_two_digits_of_what_is_small() -> None:
    facts = {"machine": {"processor": "one", "python": "3", "packages": {"torch": "2"}}, "peers": {}, "threads": 1}
    for seconds, shown in ((0.0123, "0.012 | 1.000 | **0.012** | 0.012"), (1.236, "1.236 | 1.000 | **1.24** | 1.24")):
        costs = {"one": [Cost(seconds, seconds)], "two": [Cost(1, 1)]}
        line = Claim("meters", "one", "two", costs, 32, 0.01, {}).to_json() | facts | {"commit": "abc"}
        assert f"| {shown} | ≤ 0.01 |" in to_markdown([line])


def test_contenders_take_turns_in_another_order_each_round() -> None:
    called: list[str] = []
    costs = interleaved({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, rounds=3)
    assert called == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert {name: len(each) for name, each in costs.items()} == {"a": 3, "b": 3}


def test_cpu_seconds_do_not_count_waiting() -> None:
    import time

    cost = cost_of(lambda: time.sleep(0.2))
    assert cost.wall >= 0.2 > cost.cpu


@pytest.mark.parametrize("train_images", [None, 100])
def test_recipe_of_the_comparison_is_valid(tmp_path: Path, train_images: int | None) -> None:
    (tmp_path / "recipe.yaml").write_text(recipe_of(PAIRS[32], tmp_path, None, (30, 6), train_images))
    recipe = load_recipe(str(tmp_path / "recipe.yaml"), ()).recipe
    assert (recipe.train.epochs, recipe.distill.teacher_cache.passes, recipe.data.train_images) == (30, 6, train_images)


def test_meters_are_timed_by_the_marks_of_a_real_step() -> None:
    marks, losses = meters.marks_of_a_step(Subjects(TINY))
    assert list(losses) == ["ce"]
    opened, entered = 0, []
    for name in marks:
        opened += 1 if name is not None else -1
        assert opened >= 0
        entered += [] if name is None else [name]
    assert opened == 0 and set(entered) == {"data", "forward", "backward", "optimizer"}


def test_unknown_comparison_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "speed"])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert all(name in told for name in STEPWISE)
