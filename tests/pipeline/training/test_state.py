"""What a checkpoint holds, and what comes back from it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from exporters.core.errors import UnavailableError
from pipeline.training import state
from pipeline.training.averaging import WeightAverage
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.meters import EpochMeters
from pipeline.training.optimizer import make_optimizer
from pipeline.training.state import Progress, Trained, check_agreement
from tests.pipeline.training.toy import Net, make_training

from .test_loop import same


def trained(seed: int) -> Trained:
    task, fabric = Net(seed, 0.5), make_fabric("cpu", "fp32")
    model, optimizer = fabric.setup(task, make_optimizer(task, make_training().settings))
    average = WeightAverage(task, 0.9)
    model.head.weight.square().sum().backward()
    optimizer.step()
    average.update()
    return Trained(task, optimizer, fabric, average)


def test_everything_comes_back_from_a_file(tmp_path: Path) -> None:
    one, two = trained(1), trained(2)
    meters = EpochMeters("toy", 3)
    meters.update({"ce": torch.tensor(0.1), "kd": torch.tensor(0.7)}, 4, 0, torch.arange(4))
    meters.update({"ce": torch.tensor(0.3), "kd": torch.tensor(0.2)}, 4, 1, torch.arange(4))
    progress = Progress([{"epoch": 1, "loss": 0.5}], 1, 0.25, {"weight": torch.arange(3.0)}, step=2)
    torch.manual_seed(7)
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "one")
    checkpoint.save(one.state_dict(progress, meters))
    expected = torch.rand(5)
    torch.manual_seed(8)
    saved = checkpoint.load()
    assert saved is not None
    back = two.load_state_dict(saved)
    assert torch.equal(torch.rand(5), expected)
    assert back.place == (1, 2) and back.chosen_score == 0.25 and same(back.chosen_state, progress.chosen_state)
    again = EpochMeters("toy", 3)
    assert back.meters is not None
    again.load_state_dict(back.meters, torch.device("cpu"))
    assert again.losses() == meters.losses() and again.speed() == meters.speed()
    for key in ("module", "optimizer", "average", "history"):
        assert same(one.state_dict(progress)[key], two.state_dict(back)[key]), key


def test_meters_go_on_to_the_bit() -> None:
    losses = torch.rand(50, generator=torch.Generator().manual_seed(0))
    whole, first, second = (EpochMeters("toy", 0) for _ in range(3))
    for number, loss in enumerate(losses):
        whole.update({"ce": loss}, 3, number, torch.arange(3))
        (first if number < 20 else second).update({"ce": loss}, 3, number, torch.arange(3))
        if number == 19:
            second.load_state_dict(first.state_dict(), torch.device("cpu"))
    assert second.losses() == whole.losses()


def test_each_process_has_the_running_statistics_of_its_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes within an epoch, after which the statistics are averaged."""
    saved: dict[str, Any] = {}
    processes = [trained(1), trained(1)]
    monkeypatch.setattr(state, "process_count", lambda: 2)
    for number, process in enumerate(processes):
        process.task.body[1].running_mean.fill_(number + 1.0)  # type: ignore[index, union-attr, operator]
        process.average.update()  # type: ignore[union-attr]
    gathered = [[tensor.clone() for tensor in process._statistics()] for process in processes]
    monkeypatch.setattr(state, "of_all", lambda value: gathered if isinstance(value, list) else [value, value])
    saved = processes[0].state_dict(Progress(step=1), EpochMeters("toy", 0))
    assert saved["statistics"] is not None
    for number in (0, 1):
        monkeypatch.setattr(state, "process_number", lambda number=number: number)
        new = trained(5)
        new.load_state_dict(saved)
        assert all(map(torch.equal, new._statistics(), gathered[number]))
    assert not same(gathered[0], gathered[1])


def test_processes_that_read_other_checkpoints_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = {"history": [{}, {}], "step": 3}
    check_agreement("toy", saved)
    monkeypatch.setattr(state, "of_all", lambda mine: [mine, (0, 0)])
    check_agreement("toy", None)
    message = "toy: the processes resume after different epochs, epoch 0 and epoch 2 and 3 steps"
    with pytest.raises(UnavailableError, match=message):
        check_agreement("toy", saved)
