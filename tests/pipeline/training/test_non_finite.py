"""Losses, gradients and weights that are not finite: what is said, and what is left out."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from torch import Tensor, nn

from exporters.core.errors import GateError, UnavailableError
from pipeline.data.loading import Batch
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import Fitted, fit
from pipeline.training.non_finite import NormStatistics, StepLosses, first_broken, named, rising_loss
from tests.pipeline.training.toy import STEPS, Call, Net, batches_of, console, cross_entropy, make_training, run

SKIPS = {"on_nan": "skip_batch", "max_skipped_batches": 3}


def names(indices: Tensor) -> list[str]:
    return [f"{index}.png" for index in indices.tolist()]


def breaking(*places: tuple[int, int], bad: float = math.nan) -> Callable[[Any, Call], dict[str, Tensor]]:
    """Losses of which the contrast is not finite in the given epochs and steps, both from 0."""
    broken = {(epoch, tuple(list(batches_of(epoch))[step].indices.tolist())) for epoch, step in places}

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        place = call.samples.epoch, tuple(call.samples.indices.tolist())
        good = cross_entropy(task, call)
        return good | {"contrast": good["ce"] * (bad if place in broken else 1.0)}

    return losses


def told(training: Any, folder: Path, fabric: Fabric | None = None) -> tuple[Fitted, str]:
    screen, stream = console()
    fitted = fit(training, fabric or make_fabric("cpu", "fp32"), Checkpoint(folder / "checkpoint.pt", "one"), screen)
    return fitted, stream.getvalue()


def scaled() -> Fabric:
    """Mixed fp16 with scaled losses, as on a GPU."""
    return Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", device="cpu"))


def same(one: Fitted, two: Fitted) -> bool:
    return all(torch.equal(value, two.final_state[key]) for key, value in one.final_state.items())


def test_some_images_of_a_batch_are_named_and_the_others_counted() -> None:
    assert named(torch.arange(5), names) == ["0.png", "1.png", "2.png", "3.png", "4.png"]
    assert named(torch.arange(64), names) == ["0.png", "1.png", "2.png", "3.png", "4.png", "and 59 more"]


def test_first_broken_step_is_described_by_all_its_losses() -> None:
    losses = [{"ce": 1.0, "kd": 2.0}, {"ce": 0.5, "kd": math.nan}, {"ce": math.nan, "kd": math.nan}]
    steps = [
        StepLosses(20 + number, {name: torch.tensor(value) for name, value in each.items()}, torch.tensor([7, number]))
        for number, each in enumerate(losses)
    ]
    assert first_broken(steps, names) == (21, "kd", "ce 0.5, kd nan; images 7.png, 1.png")
    assert first_broken(steps[:1], names) is None


@pytest.mark.parametrize("settings", [{}, {"accumulate": 2, "ema": 0.9}, {"gradient_clip": 0.1, "optimizer": "adamw"}])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_without_broken_losses_is_the_same_with_skip_batch(
    settings: dict[str, Any], precision: str, tmp_path: Path
) -> None:
    plain = run(make_training(settings=settings), tmp_path / "plain", precision=precision)
    skips = run(make_training(settings=settings | SKIPS), tmp_path / "skips", precision=precision)
    assert same(plain, skips)
    assert "skipped_batches" not in plain.history[0]
    for one, two in zip(plain.history, skips.history, strict=True):
        assert {**one, "time": 0, "skipped_batches": 0} == {**two, "time": 0}


@pytest.mark.parametrize(("bad", "fabric"), [(math.nan, None), (math.inf, None), (math.nan, scaled)])
def test_skipped_batch_leaves_no_trace(bad: float, fabric: Callable[[], Fabric] | None, tmp_path: Path) -> None:
    """As if its epoch had not had it: same weights and running statistics, at the learning rates of the other steps."""

    def without(epoch: int) -> Iterator[Batch]:
        yield from (batch for step, batch in enumerate(batches_of(epoch)) if (epoch, step) != (1, STEPS - 1))

    settings = SKIPS | {"epochs": 2, "schedule": {"kind": "constant"}}
    whole = make_training(drop=0.0, losses=breaking((1, STEPS - 1), bad=bad), settings=settings)
    less = make_training(drop=0.0, losses=breaking(), batches=without, settings=settings)
    (fitted, output), (expected, _) = (
        told(each, tmp_path / folder, fabric and fabric()) for each, folder in ((whole, "whole"), (less, "less"))
    )
    assert same(fitted, expected)
    row = fitted.history[1]
    assert row["skipped_batches"] == 1 and fitted.history[0]["skipped_batches"] == 0
    assert row["loss_contrast"] == pytest.approx(expected.history[1]["loss_contrast"])
    (skipped,) = row["skipped"]
    assert (skipped["step"], skipped["what"]) == (STEPS, "contrast")
    images = ", ".join(names(list(batches_of(1))[-1].indices))
    assert skipped["told"].startswith("ce ") and skipped["told"].endswith(f"contrast {bad}; images {images}")
    assert f"left out step {STEPS} of epoch 2, whose loss contrast is not finite: ce " in output
    assert "1 batch was left out, not being finite (on_nan: skip_batch)" in output


@pytest.mark.parametrize("place", [0, 1])
def test_step_of_a_group_takes_the_mean_over_the_batches_that_count(place: int, tmp_path: Path) -> None:
    settings = SKIPS | {"epochs": 1, "accumulate": 2, "momentum": 0.0, "weight_decay": 0.0}

    def batches(epoch: int) -> Iterator[Batch]:
        yield from list(batches_of(epoch))[:2]

    def two_steps(training: Any) -> Any:
        training.loader.steps_per_epoch = lambda _size: 2
        return training

    skips = two_steps(make_training(drop=0.0, losses=breaking((0, place)), settings=settings, batches=batches))
    fitted = run(skips, tmp_path / "skips")
    net = Net(1, 0.0).train()
    batch = list(batches_of(0))[1 - place]
    loss = 2 * nn.functional.cross_entropy(net.logits(batch.images / 255), batch.labels)
    loss.backward()
    for name, parameter in net.named_parameters():
        expected = parameter.detach() - fitted.history[0]["lr"] * parameter.grad  # type: ignore[operator]
        torch.testing.assert_close(fitted.final_state[name], expected, rtol=1e-5, atol=1e-7)


def test_group_without_a_batch_that_counts_makes_no_step(tmp_path: Path) -> None:
    settings = SKIPS | {"epochs": 1, "accumulate": 3, "ema": 0.5}
    broken = breaking((0, 0), (0, 1))
    with pytest.raises(GateError, match="no batch of epoch 1 is finite"):
        run(make_training(losses=breaking((0, 0), (0, 1), (0, 2)), settings=settings), tmp_path / "none")
    assert run(make_training(losses=broken, settings=settings), tmp_path / "one").history[0]["skipped_batches"] == 2


def test_gradient_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    class Endless(torch.autograd.Function):
        @staticmethod
        def forward(_context: Any, values: Tensor) -> Tensor:
            return values

        @staticmethod
        def backward(_context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient * math.inf

    second = list(batches_of(0))[1].indices

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        logits = task.logits(call.images)
        if torch.equal(call.samples.indices, second) and call.samples.epoch == 0:
            logits = Endless.apply(logits)  # type: ignore[no-untyped-call]
        return {"ce": nn.functional.cross_entropy(logits, call.labels)}

    fitted, output = told(make_training(losses=losses, settings=SKIPS), tmp_path / "skips")
    assert fitted.history[0]["skipped"][0]["what"] == "gradient"
    assert "left out step 2 of epoch 1, whose gradient is not finite" in output
    with pytest.raises(GateError, match="the loss ce is not finite at step 3 of epoch 1"):
        run(make_training(losses=losses), tmp_path / "fails")


def test_one_more_than_may_be_left_out_ends_training(tmp_path: Path) -> None:
    places = [(0, 0), (1, 1), (2, 0), (2, 2)]
    fitted = run(make_training(losses=breaking(*places[:3]), settings=SKIPS), tmp_path / "three")
    assert [row["skipped_batches"] for row in fitted.history] == [1, 1, 1, 0]
    with pytest.raises(GateError) as caught:
        run(make_training(losses=breaking(*places), settings=SKIPS), tmp_path / "four")
    assert "the loss contrast is not finite at step 3 of epoch 3" in caught.value.message
    assert "max_skipped_batches" in caught.value.message


class Stopped(Exception):
    pass


@pytest.mark.parametrize("accumulate", [1, 2])
def test_resumed_training_skips_the_same_batches(accumulate: int, tmp_path: Path) -> None:
    settings = SKIPS | {"accumulate": accumulate, "ema": 0.9}
    broken = breaking((0, 1), (1, 0), (3, 2))
    whole = run(make_training(losses=broken, settings=settings), tmp_path / "whole")

    def break_off(epoch: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches_of(epoch)):
            if (epoch, number) == (1, 2):  # the first batch of this epoch was left out
                raise Stopped
            yield batch

    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one", every_seconds=0.0)
    fabric = make_fabric("cpu", "fp32")
    with pytest.raises(Stopped):
        fit(make_training(losses=broken, settings=settings, batches=break_off), fabric, checkpoint, console()[0])
    resumed = fit(make_training(losses=broken, settings=settings), fabric, checkpoint, console()[0])
    assert same(whole, resumed)
    for one, two in zip(whole.history, resumed.history, strict=True):
        assert {**one, "time": 0} == {**two, "time": 0}
    assert [row["skipped_batches"] for row in resumed.history] == [1, 1, 0, 1]


def test_state_that_a_broken_loss_has_spoilt_is_not_saved(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one", every_seconds=0.0)
    training = make_training(losses=breaking((1, 1)))
    with pytest.raises(GateError, match="step 2 of epoch 2"):
        fit(training, make_fabric("cpu", "fp32"), checkpoint, console()[0])
    saved = checkpoint.load()
    assert saved is not None and (len(saved["history"]), saved["step"]) == (1, 1)


def test_weights_spoilt_by_the_last_step_of_an_epoch_are_named(tmp_path: Path) -> None:
    training = make_training(settings={"lr": 100.0, "momentum": 0.0, "schedule": {"kind": "constant"}})

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        scale = 1e38 if call.samples.epoch == 1 and training.loader.asked and call.ramp == 1.0 else 1.0
        found = task.logits(call.images).square().mean()
        return {"ce": found + scale * (task.head.bias.sum() - task.head.bias.sum().detach())}

    training.task.losses = losses  # type: ignore[union-attr,assignment]
    one_step = replace(training, loader=training.loader)
    one_step.loader.steps_per_epoch = lambda _size: 1  # type: ignore[method-assign]
    one_step.loader._batches = lambda epoch: iter(list(batches_of(epoch))[:1])  # type: ignore[union-attr]
    with pytest.raises(GateError, match=r"toy: weights are NaN or infinite after epoch 2.*: .*head\.bias"):
        run(one_step, tmp_path)
    saved = Checkpoint(tmp_path / "checkpoint.pt", "one").load()
    assert saved is not None and len(saved["history"]) == 1


def test_checkpoint_with_weights_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one")
    run(make_training(settings={"epochs": 1}), tmp_path)
    saved = checkpoint.load()
    assert saved is not None
    saved["module"]["head.weight"][0, 0] = math.nan
    checkpoint.save(saved)
    with pytest.raises(
        UnavailableError, match=r"checkpoint\.pt: holds values that are NaN or infinite: head\.weight\n"
    ):
        run(make_training(), tmp_path)


@pytest.mark.parametrize(
    ("losses", "rises"),
    [
        ([1.0], False),
        ([1.0, 0.4, 0.9], False),  # below the first
        ([1.0, 0.8, 1.2], False),  # not twice the lowest
        ([1.0, 0.4, 1.2], True),
        ([1.0, 0.4, 1.2, 1.3], False),  # was said
        ([1.0, 0.4, 1.2, 0.3, 1.1], True),
    ],
)
def test_rising_cross_entropy_is_told_once(losses: list[float], rises: bool) -> None:
    history = [{"loss_ce": loss} for loss in losses]
    assert (rising_loss(history) is not None) is rises
    assert rising_loss([{"loss_kd": loss} for loss in losses]) is None


def test_diverging_training_is_told(tmp_path: Path) -> None:
    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        return {"ce": cross_entropy(task, call)["ce"] + 10.0 * (call.samples.epoch == 2)}

    assert "toy: the cross-entropy rises, to 1" in told(make_training(losses=losses), tmp_path)[1]


def test_statistics_of_norms_are_brought_back() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    kept = NormStatistics(net)
    net(torch.full((4, 2), math.nan))
    assert net[1].running_mean.isnan().all()  # type: ignore[union-attr,operator]
    kept.restore()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
