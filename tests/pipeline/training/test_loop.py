import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn

from exporters.core.errors import GateError
from pipeline.data.loading import Batch
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import Fitted, Step, fit
from pipeline.training.optimizer import learning_rate
from pipeline.training.settings import FitSettings
from tests.pipeline.training.jobs import BATCH, SIZE, STEPS, Net, batches_of, console, make_job, run


def same(one: Any, two: Any) -> bool:
    """Equal to the bit, in any nesting."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(same(left, right) for left, right in zip(one, two, strict=True))
    return torch.equal(one, two) if isinstance(one, Tensor) else one == two


def timeless(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "images_per_second"} for row in history]


def assert_same_outcome(one: Fitted, two: Fitted, folders: tuple[Path, Path]) -> None:
    assert same(one.final_state, two.final_state)
    assert same(one.chosen_state, two.chosen_state)
    assert (one.chosen_pass, one.chosen_score) == (two.chosen_pass, two.chosen_score)
    assert timeless(one.history) == timeless(two.history)
    left, right = (Checkpoint(folder / "checkpoint.pt", "one").load() for folder in folders)
    assert left is not None
    assert right is not None
    for key in ("module", "optimiser", "random_state", "chosen_state", "precision"):
        assert same(left[key], right[key]), key


class Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("settings", "precision"),
    [
        ({"schedule": {"kind": "one_cycle"}, "nesterov": True}, "fp32"),
        ({"optimizer": "adamw", "lr": 0.01, "gradient_clip": 0.5}, "fp32"),
        ({"schedule": {"kind": "milestones", "milestones": (1, 3)}}, "bf16"),
    ],
)
@pytest.mark.parametrize("where", ["after pass 2", "within pass 3", "after the last"])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    settings: dict[str, Any], precision: str, where: str, tmp_path: Path
):
    folders = (tmp_path / "one", tmp_path / "two")
    scores = [0.5, 0.7, 0.6, 0.7]
    whole = run(make_job(settings=settings, scores=scores), folders[0], precision=precision)

    def stop(pass_: int, _metrics: dict[str, float]) -> None:
        if (where, pass_) in (("after pass 2", 2), ("after the last", 4)):
            raise Stopped

    def break_off(pass_: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches_of(pass_)):
            if (where, pass_, number) == ("within pass 3", 2, 2):
                raise Stopped
            yield batch

    with pytest.raises(Stopped):
        run(make_job(settings=settings, scores=scores, batches=break_off), folders[1], stop, precision=precision)
    # Another process: nothing of the first attempt is left but the file.
    torch.manual_seed(99)
    torch.rand(11)
    told: list[int] = []
    left = scores[4:] if where == "after the last" else scores[2:]
    again = run(
        make_job(Net(33, 0.5), settings=settings, scores=left),
        folders[1],
        lambda pass_, _metrics: told.append(pass_),
        precision=precision,
    )
    # The passes before the stop are told again: the first process may have died before it could tell the last one.
    assert told == [1, 2, 3, 4]
    assert_same_outcome(whole, again, folders)
    assert (whole.chosen_pass, whole.chosen_score) == (2, 0.7)


def test_drop_out_is_drawn_anew_in_each_pass_and_from_the_seed(tmp_path: Path):
    one = run(make_job(), tmp_path / "one")
    torch.rand(7)
    two = run(make_job(), tmp_path / "two")
    other = run(make_job(seed=8), tmp_path / "other")
    without = run(make_job(Net(1, 0.0)), tmp_path / "without")
    assert same(one.final_state, two.final_state)
    assert not same(one.final_state, other.final_state)
    assert not same(one.final_state, without.final_state)


@pytest.mark.parametrize("damage", ["another fingerprint", "truncated", "garbage", "a bit"])
def test_a_checkpoint_that_is_no_good_is_ignored(damage: str, tmp_path: Path):
    folders = (tmp_path / "fresh", tmp_path / "stale")
    fresh = run(make_job(), folders[0])
    run(make_job(Net(5, 0.5), seed=21), folders[1], fingerprint="two" if damage == "another fingerprint" else "one")
    path = folders[1] / "checkpoint.pt"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "garbage":
        path.write_bytes(b"\x80\x02garbage" * 40)
    elif damage == "a bit":
        weight = Checkpoint(path, "one").load()["module"]["head.weight"]
        content[content.index(weight.numpy().tobytes()) + 5] ^= 1
        path.write_bytes(content)
    assert_same_outcome(fresh, run(make_job(), folders[1]), folders)


def test_going_on_is_said(tmp_path: Path):
    def stop(pass_: int, _metrics: dict[str, float]) -> None:
        if pass_ == 3:
            raise Stopped

    with pytest.raises(Stopped):
        run(make_job(), tmp_path, stop)
    shown, stream = console()
    fit(make_job(), make_fabric("cpu", "fp32"), Checkpoint(tmp_path / "checkpoint.pt", "one"), shown)
    assert "toy: going on after pass 3 of 4" in stream.getvalue()
    assert "toy 4/4" in stream.getvalue()
    assert "toy 3/4" not in stream.getvalue()


@pytest.mark.parametrize(("before", "after"), [("fp16", "bf16"), ("bf16", "fp16"), ("fp32", "bf16")])
def test_a_run_that_moved_to_a_card_of_another_precision_goes_on(before: str, after: str, tmp_path: Path):
    fabrics = {
        "fp32": make_fabric("cpu", "fp32"),
        "bf16": make_fabric("cpu", "bf16"),
        "fp16": Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", device="cpu")),
    }

    def stop(pass_: int, _metrics: dict[str, float]) -> None:
        if pass_ == 3:
            raise Stopped

    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one")
    with pytest.raises(Stopped):
        fit(make_job(), fabrics[before], checkpoint, console()[0], stop)
    shown, stream = console()
    assert len(fit(make_job(), fabrics[after], checkpoint, shown).history) == 4
    names = {name: fabric.strategy.precision.precision for name, fabric in fabrics.items()}
    assert f"WARNING: toy: the passes so far were computed in {names[before]}" in stream.getvalue()
    assert f"those from here on in {names[after]}" in stream.getvalue()


def test_the_earliest_of_the_best_passes_is_chosen(tmp_path: Path):
    job = make_job(scores=[0.2, 0.6, 0.6, 0.1])
    states: list[dict[str, Tensor]] = []

    def remember(_pass: int, _metrics: dict[str, float]) -> None:
        states.append({key: value.clone() for key, value in job.module.state_dict().items()})

    fitted = run(job, tmp_path, remember)
    assert (fitted.chosen_pass, fitted.chosen_score) == (2, 0.6)
    assert same(fitted.chosen_state, states[1])
    assert same(fitted.final_state, states[3])
    assert not same(fitted.chosen_state, fitted.final_state)
    assert [row["validation_top1"] for row in fitted.history] == [0.2, 0.6, 0.6, 0.1]


def test_a_score_of_nought_is_chosen_as_well(tmp_path: Path):
    fitted = run(make_job(scores=[0.0, 0.0, 0.0, 0.0]), tmp_path)
    assert (fitted.chosen_pass, fitted.chosen_score) == (1, 0.0)
    assert fitted.chosen_state


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run(bad: float, tmp_path: Path):
    def losses(wrapped: nn.Module, step: Step) -> dict[str, Tensor]:
        good = wrapped(step.images).square().mean()
        return {"ce": good, "contrast": good * (bad if step.passes == pytest.approx(1 + 2 / STEPS) else 1.0)}

    with pytest.raises(GateError) as caught:
        run(make_job(losses=losses), tmp_path)
    assert caught.value.exit_code == 3
    # Both losses are NaN in the step after it; the one that began is named.
    assert caught.value.message == "toy: the loss contrast is not finite at step 2 of pass 2"
    assert "gradient_clip" in str(caught.value.remedy)
    saved = Checkpoint(tmp_path / "checkpoint.pt", "one").load()
    assert saved is not None
    assert len(saved["history"]) == 1  # the pass before it, which was sound
    assert all(torch.isfinite(value).all() for value in saved["module"].values())


def test_each_batch_of_each_pass_becomes_a_step(tmp_path: Path):
    steps: list[Step] = []
    ended: list[int] = []

    def batches(pass_: int) -> Iterator[Batch]:
        yield from batches_of(pass_)
        ended.append(pass_)  # reached by a loop that asks once more than there are batches

    def losses(wrapped: nn.Module, step: Step) -> dict[str, Tensor]:
        steps.append(step)
        return {"ce": wrapped(step.images).square().mean()}

    run(make_job(batches=batches, losses=losses, settings={"epochs": 2}), tmp_path)
    assert ended == [0, 1]
    expected = [batch for pass_ in range(2) for batch in batches_of(pass_)]
    assert len(steps) == len(expected) == 2 * STEPS
    for number, (step, batch) in enumerate(zip(steps, expected, strict=True)):
        np.testing.assert_allclose(step.images.numpy(), batch.images.numpy() / 255.0, rtol=1e-6)
        assert step.images.dtype == torch.float32
        assert step.images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(step.labels, batch.labels)
        assert torch.equal(step.indices, batch.indices)
        assert step.pass_ == number // STEPS
        assert step.passes == pytest.approx((number + 1) / STEPS)


def test_training_happens_in_training_mode_whatever_the_evaluation_does(tmp_path: Path):
    net = Net(1, 0.5)
    modes: list[bool] = []

    def losses(wrapped: nn.Module, step: Step) -> dict[str, Tensor]:
        modes.append(net.training and net.body.training)
        return {"ce": wrapped(step.images).square().mean()}

    def evaluate() -> float:
        net.eval()
        return 0.5

    run(make_job(net, losses=losses, evaluate=evaluate), tmp_path)
    assert modes == [True] * 4 * STEPS


def test_history_holds_the_mean_of_each_loss(tmp_path: Path):
    values: list[tuple[float, float]] = []

    def losses(wrapped: nn.Module, step: Step) -> dict[str, Tensor]:
        one, two = wrapped(step.images).square().mean(), 0.1 * wrapped(step.images).abs().mean()
        values.append((one.item(), two.item()))
        return {"feature": one, "logits": two}

    fitted = run(make_job(losses=losses), tmp_path)
    settings = make_job().settings
    for number, row in enumerate(fitted.history):
        means = np.mean(values[number * STEPS : (number + 1) * STEPS], axis=0)
        assert row["pass"] == number + 1
        assert [row["loss_feature"], row["loss_logits"]] == pytest.approx(means.tolist(), rel=1e-5)
        assert row["loss"] == pytest.approx(means.sum(), rel=1e-5)
        assert row["lr"] == learning_rate(settings, (number + 1) * STEPS - 1, STEPS)
        assert row["images_per_second"] > 0


class Weight(nn.Module):
    """One weight whose gradient is a constant."""

    def __init__(self, gradient: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.gradient = gradient

    def forward(self, _images: Tensor) -> Tensor:
        return self.gradient * (3 * self.weight[0] - 4 * self.weight[1])


PLAIN = {"momentum": 0.0, "weight_decay": 0.0}


def weight_losses(wrapped: nn.Module, step: Step) -> dict[str, Tensor]:
    return {"ce": wrapped(step.images)}


@pytest.mark.parametrize("schedule", [{"kind": "cosine", "warmup": 1.5}, {"kind": "one_cycle"}])
def test_every_step_has_the_learning_rate_of_the_schedule(schedule: dict[str, Any], tmp_path: Path):
    net = Weight(1.0)
    run(make_job(net, losses=weight_losses, settings=PLAIN | {"schedule": schedule}), tmp_path)
    settings = FitSettings(**(PLAIN | {"epochs": 4, "lr": 0.1, "schedule": schedule}))
    total = sum(learning_rate(settings, step, STEPS) for step in range(4 * STEPS))
    np.testing.assert_allclose(net.weight.detach().numpy(), [-3 * total, 4 * total], rtol=1e-9)


@pytest.mark.parametrize(("gradient", "clip"), [(10.0, 2.0), (0.1, 2.0), (10.0, None)])
def test_the_gradient_is_clipped_to_its_norm(gradient: float, clip: float | None, tmp_path: Path):
    net = Weight(gradient)
    changes = PLAIN | {"epochs": 1, "lr": 1.0, "schedule": {"kind": "constant"}, "gradient_clip": clip}
    run(make_job(net, losses=weight_losses, settings=changes), tmp_path)
    norm = 5 * gradient
    length = norm if clip is None else min(norm, clip)
    moved = -net.weight.detach().numpy() / STEPS
    np.testing.assert_allclose(moved, np.array([3.0, -4.0]) / 5 * length, rtol=1e-5)


def test_it_learns(tmp_path: Path):
    net = Net(1, 0.0)
    bright = torch.full((BATCH, 3, SIZE, SIZE), 220, dtype=torch.uint8)
    bright[::2] = 30
    labels = torch.arange(BATCH) % 2

    def batches(_pass: int) -> Iterator[Batch]:
        for _ in range(STEPS):
            yield Batch(bright, labels, torch.arange(BATCH))

    fitted = run(make_job(net, batches=batches, settings={"epochs": 10}), tmp_path)
    assert fitted.history[-1]["loss"] < 0.1 < fitted.history[0]["loss"]
    net.load_state_dict(fitted.final_state)
    with torch.no_grad():
        assert torch.equal(net.eval()(bright.float() / 255).argmax(dim=1), labels)


def test_states_are_copies_on_the_cpu(tmp_path: Path):
    net = Net(1, 0.5)
    fitted = run(make_job(net), tmp_path)
    kept = {key: value.clone() for key, value in fitted.final_state.items()}
    with torch.no_grad():
        net.head.weight.add_(1)
    assert same(fitted.final_state, kept)
    assert all(value.device.type == "cpu" and not value.requires_grad for value in fitted.final_state.values())
    assert list(fitted.final_state) == list(net.state_dict())


@pytest.mark.gpu
def test_resume_on_a_gpu(tmp_path: Path):
    def attempt(folder: Path, stop_after: int | None) -> Fitted:
        def stop(pass_: int, _metrics: dict[str, float]) -> None:
            if pass_ == stop_after:
                raise Stopped

        checkpoint = Checkpoint(folder / "checkpoint.pt", "one")
        return fit(make_job(), make_fabric("cuda", "auto"), checkpoint, console()[0], stop)

    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        whole = attempt(tmp_path / "one", None)
        with pytest.raises(Stopped):
            attempt(tmp_path / "two", 2)
        torch.cuda.manual_seed(4)
        assert_same_outcome(whole, attempt(tmp_path / "two", None), (tmp_path / "one", tmp_path / "two"))
    finally:
        torch.use_deterministic_algorithms(False)


EARLY = [0.5, 0.6, 0.6, 0.55, 0.7, 0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("early_stop", "passes", "chosen"), [(None, 8, 5), (1, 3, 2), (2, 4, 2), (3, 8, 5), (4, 8, 5), (7, 8, 5)]
)
def test_training_ends_after_so_many_passes_without_a_better_score(
    early_stop: int | None, passes: int, chosen: int, tmp_path: Path
):
    settings = {"epochs": 8, "early_stop": early_stop, "schedule": {"kind": "one_cycle"}}
    fitted = run(make_job(settings=settings, scores=EARLY), tmp_path / "stopped")
    assert len(fitted.history) == passes
    assert fitted.chosen_pass == chosen
    assert fitted.stopped_early is (passes < 8)
    # The schedule is that of all passes: it is left, not squeezed.
    whole = run(make_job(settings=settings | {"early_stop": None}, scores=EARLY), tmp_path / "whole")
    assert timeless(fitted.history) == timeless(whole.history)[:passes]
    if fitted.chosen_pass == whole.chosen_pass:
        assert same(fitted.chosen_state, whole.chosen_state)
    assert same(fitted.final_state, whole.final_state) is (passes == 8)


@pytest.mark.parametrize("stopped_after", [1, 3, 4])
def test_an_early_stop_is_the_same_after_an_interruption(stopped_after: int, tmp_path: Path):
    settings = {"epochs": 8, "early_stop": 2}
    folders = (tmp_path / "one", tmp_path / "two")
    whole = run(make_job(settings=settings, scores=EARLY), folders[0])

    def stop(pass_: int, _metrics: dict[str, float]) -> None:
        if pass_ == stopped_after:
            raise Stopped

    with pytest.raises(Stopped):
        run(make_job(settings=settings, scores=EARLY), folders[1], stop)
    again = run(make_job(Net(33, 0.5), settings=settings, scores=EARLY[stopped_after:]), folders[1])
    assert_same_outcome(whole, again, folders)
    assert whole.stopped_early and again.stopped_early and len(again.history) == 4


def test_an_early_stop_is_said(tmp_path: Path):
    shown, stream = console()
    job = make_job(settings={"epochs": 8, "early_stop": 2}, scores=EARLY)
    fit(job, make_fabric("cpu", "fp32"), Checkpoint(tmp_path / "checkpoint.pt", "one"), shown)
    assert "toy: stopped after pass 4 of 8, no better than pass 2 for 2 passes" in stream.getvalue()
