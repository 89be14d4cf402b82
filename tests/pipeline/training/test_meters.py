import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exporters.core.errors import GateError
from pipeline.timing import PartTimer
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.meters import EpochMeters, accuracy
from pipeline.training.optimizer import learning_rate
from tests.pipeline.training.toy import STEPS, Call, batches_of, make_training, run


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_loss_that_is_not_finite_ends_training(bad: float, tmp_path: Path):
    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        good = task.logits(call.images).square().mean()
        return {"ce": good, "contrast": good * (bad if call.ramp == pytest.approx((1 + 2 / STEPS) / 4) else 1.0)}

    with pytest.raises(GateError) as caught:
        run(make_training(losses=losses, warmup_epochs=4), tmp_path)
    assert caught.value.exit_code == 3
    # Both losses are NaN in the step after it; the one that began is named.
    assert caught.value.message.startswith("toy: the loss contrast is not finite at step 2 of epoch 2: ce ")
    images = [f"{index}.png" for index in list(batches_of(1))[1].indices.tolist()]
    assert caught.value.message.endswith(f", contrast {bad}; images {', '.join(images)}")
    assert "gradient_clip" in str(caught.value.remedy)
    saved = Checkpoint(tmp_path / "checkpoint.pt", "one").load()
    assert saved is not None
    assert len(saved["history"]) == 1  # the epoch before it, which was sound
    assert all(torch.isfinite(value).all() for value in saved["module"].values())


def test_history_holds_the_mean_of_each_loss(tmp_path: Path):
    values: list[tuple[float, float]] = []

    def losses(task: Any, call: Call) -> dict[str, Tensor]:
        one, two = task.logits(call.images).square().mean(), 0.1 * task.logits(call.images).abs().mean()
        values.append((one.item(), two.item()))
        return {"feature": one, "logits": two}

    fitted = run(make_training(losses=losses), tmp_path)
    settings = make_training().settings
    for number, row in enumerate(fitted.history):
        means = np.mean(values[number * STEPS : (number + 1) * STEPS], axis=0)
        assert row["epoch"] == number + 1
        assert [row["loss_feature"], row["loss_logits"]] == pytest.approx(means.tolist(), rel=1e-5)
        assert row["loss"] == pytest.approx(means.sum(), rel=1e-5)
        assert row["lr"] == learning_rate(settings, (number + 1) * STEPS - 1, STEPS)
        # A toy's epoch has no teacher; every second of it is in one part.
        time = row["time"]
        assert set(time["parts"]) == {"data", "forward", "backward", "optimizer", "evaluation", "other"}
        assert sum(time["parts"].values()) == pytest.approx(time["seconds"], abs=0.005)
        assert time["images_per_second"] > 0 and 0 < time["waiting_for_data"] < 100
        assert time["peak_memory_bytes"] > 2**20
        assert time["cpu_seconds"] >= 0


def test_losses_that_break_in_the_same_step_are_all_named():
    meters = EpochMeters("student", 4)
    some = torch.arange(2)
    meters.update({"ce": torch.tensor(1.0), "feature": torch.tensor(2.0), "logits": torch.tensor(3.0)}, 2, 0, some)
    assert meters.losses() == {"loss_ce": 1.0, "loss_feature": 2.0, "loss_logits": 3.0, "loss": 6.0}
    meters.update(
        {"ce": torch.tensor(1.0), "feature": torch.tensor(math.inf), "logits": torch.tensor(math.nan)}, 2, 1, some
    )
    with pytest.raises(GateError, match="student: the loss feature and logits is not finite at step 2 of epoch 5"):
        meters.losses()


def test_images_per_second_counts_every_image():
    meters = EpochMeters("student", 0)
    for images in (4, 4, 1):
        meters.update({"ce": torch.tensor(0.0)}, images, 0, torch.arange(images))
    assert meters.speed() == {"images_per_second": 9e9, "waiting_for_data": 0.0}  # nothing was measured


def test_speed_leaves_evaluation_out_and_counts_waiting(monkeypatch: pytest.MonkeyPatch):
    meters, now = EpochMeters("student", 0), [0.0]
    monkeypatch.setattr("pipeline.timing._HostClock.__init__.__defaults__", (lambda: now[0],))

    def batches() -> Iterator[int]:
        for number in range(3):
            now[0] += 0.5  # what a batch takes to come
            yield number
        now[0] += 0.5

    with meters.measured(torch.device("cpu")):
        for _ in meters.waiting(batches()):
            with meters.part("forward"):
                now[0] += 2.0
            meters.update({"ce": torch.tensor(0.0)}, 4, 0, torch.arange(4))
        with meters.part("evaluation"):
            now[0] += 100.0
        now[0] += 2.0
    assert meters.speed() == {"images_per_second": 1.2, "waiting_for_data": 20.0}
    time = meters.time(torch.device("cpu"))
    assert time["seconds"] == 110.0
    assert time["parts"] == {"data": 2.0, "forward": 6.0, "evaluation": 100.0, "other": 2.0}


def test_compiling_counts_for_the_epoch_that_follows_and_not_for_its_speed(monkeypatch: pytest.MonkeyPatch):
    meters, now = EpochMeters("student", 0), [0.0]
    monkeypatch.setattr("pipeline.timing._HostClock.__init__.__defaults__", (lambda: now[0],))
    monkeypatch.setattr("pipeline.training.meters.process_time", lambda: now[0])
    meters.add("compile", 60.0, 50.0)
    with meters.measured(torch.device("cpu")), meters.part("forward"):
        now[0] += 2.0
        meters.update({"ce": torch.tensor(0.0)}, 4, 0, torch.arange(4))
    time = meters.time(torch.device("cpu"))
    assert time["parts"] == {"compile": 60.0, "forward": 2.0, "other": 0.0}
    assert (time["seconds"], time["cpu_seconds"], time["images_per_second"]) == (62.0, 52.0, 2.0)


def test_cpu_seconds_are_those_of_the_epoch_by_all_its_attempts(monkeypatch: pytest.MonkeyPatch):
    now = [50.0]
    monkeypatch.setattr("pipeline.training.meters.process_time", lambda: now[0])
    first, again = EpochMeters("student", 0), EpochMeters("student", 0)
    first.update({"ce": torch.tensor(0.0)}, 4, 0, torch.arange(4))
    with first.measured(torch.device("cpu")):
        now[0] += 3.0
        saved = first.state_dict()
        now[0] += 5.0  # after the checkpoint: done again by the next attempt
    now[0] += 100.0
    assert first.time(torch.device("cpu"))["cpu_seconds"] == 8.0
    again.load_state_dict(saved, torch.device("cpu"))
    with again.measured(torch.device("cpu")):
        now[0] += 2.0
    assert again.time(torch.device("cpu"))["cpu_seconds"] == 5.0


def test_parts_of_the_teacher_are_measured_by_its_own_timer(tmp_path: Path):
    class Teacher:
        timer = PartTimer()

        def __call__(self, images: Tensor, *_: Any) -> None:
            with self.timer.part("clip"):
                images.square().sum()

    row = run(make_training(teacher=Teacher()), tmp_path).history[0]
    assert {"teacher", "clip", "forward"} <= set(row["time"]["parts"])


def test_accuracy_counts_the_first_of_equal_scores():
    scores = torch.tensor([[0.1, 0.9], [0.5, 0.5], [0.7, 0.3], [0.2, 0.8]])
    batches = [(torch.arange(3), torch.tensor([1, 0, 1])), (torch.arange(3, 4), torch.tensor([1]))]
    assert accuracy(lambda places: scores[places], batches) == 0.75
