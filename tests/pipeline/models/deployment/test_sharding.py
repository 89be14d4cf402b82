"""Two processes over gloo that share a frozen network, against the whole network in one."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exporters.core.errors import UnavailableError
from pipeline.distributed.collectives import process_count, process_number, sharing
from pipeline.models.deployment.deployed import DeployedClassifier
from pipeline.models.deployment.frozen import Frozen, FrozenClassifier
from pipeline.models.deployment.settings import Runtime
from pipeline.models.deployment.sharding import ShardedNetwork, in_step, keep_step
from pipeline.models.outputs import NetworkOutput
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.settings import EdgeView
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weighting import confidence_weighting
from pipeline.training.teacher_cache import CachedTeacher
from tests.pipeline.distributed.processes import in_two_processes
from tests.pipeline.distributed.shared_work import PlainNet
from tests.pipeline.models.deployment import networks
from tests.pipeline.models.deployment.networks import place, teacher
from tests.pipeline.training.toy import BATCH, CLASSES, STEPS, Call, make_training, run

CPU = torch.device("cpu")
COUNTS = (3, 2)
"""Images of each process in a call: they need not be as many."""
BATCHES = (3, 1)
"""Batches of each process."""


def images(count: int, size: int = networks.SIZE) -> Tensor:
    """As teachers get them."""
    return networks.images(count, size).contiguous(memory_format=torch.channels_last)


class Direct(Frozen):
    """Uses a layer's parameters without calling it, or besides calling it."""

    name, section, size, outputs = "direct network", "teacher.visual", 4, ("logits",)

    def __init__(self, calls: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self._calls = nn.Linear(1024, 1024).requires_grad_(False), calls

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        values = images.flatten(1)[:, :1].expand(-1, 1024)
        return (nn.functional.linear(self.layer(values) if self._calls else values, self.layer.weight),)


def deployed(runtime: Runtime) -> DeployedClassifier:
    """The teacher, sharded if there are several processes."""
    with tempfile.TemporaryDirectory() as folder:
        return DeployedClassifier(
            teacher(stages=True), runtime, place(Path(folder)), CPU if process_count() > 1 else None
        )


def taught(visual: DeployedClassifier, *, cached: bool) -> dict[str, Tensor]:
    """The end of a training of four epochs, of which two differ, under the fused teacher."""

    def imitation(task: Any, call: Call) -> dict[str, Tensor]:
        return {"kd": (task.logits(call.images) - call.guidance.logits[:, :CLASSES]).square().mean()}

    looks: Any = MultiViewTeacher(visual, Views({"edge": EdgeView(strength=0.4)}), confidence_weighting, 0.5)
    with tempfile.TemporaryDirectory() as folder:
        if cached:
            looks = CachedTeacher(looks, Path(folder), 2, STEPS * BATCH, {"logits": "logits"}, pool=2)
        fitted = run(make_training(PlainNet(), losses=imitation, teacher=looks), Path(folder))
    return fitted.final_state


def partly_cached(visual: DeployedClassifier, folder: Path) -> list[NetworkOutput]:
    """Answers where process 0 finds all rows in its cache, and the others look."""
    looks = MultiViewTeacher(visual, Views({}), confidence_weighting, 0.5)
    cache = CachedTeacher(looks, folder, 1, 10, {"logits": "logits"}, pool=2)
    labels, found = torch.zeros(2, dtype=torch.int64), []
    for indices in ([0, 1], [0, 1] if process_number() == 0 else [2, 3]):
        found.append(cache(images(10)[indices], labels, 0, torch.tensor(indices)))
    return found


def shared_work() -> dict[str, Any]:
    with sharing(), tempfile.TemporaryDirectory() as folder:
        number = process_number()
        eager, folded = deployed("eager"), deployed("torch")
        assert eager.sharded is not None
        mine = images(COUNTS[number])
        stepped = [eager(batch).logits for batch in in_step([eager.sharded], images(BATCHES[number]).split(1))]
        alike = keep_step([eager.sharded], True) and eager(mine) and keep_step([eager.sharded], False)
        direct = ShardedNetwork(Direct(calls=False), CPU)
        try:
            refused = ShardedNetwork(Direct(calls=True), CPU)(images(1, 4))
        except UnavailableError as error:
            refused = error.message
        return {
            "outputs": {"eager": eager(mine), "torch": folded(mine)},
            "identity": eager.identity,
            "stepped": stepped,
            "none looks": alike,
            "bytes": (eager.sharded.held_bytes, eager.sharded.total_bytes),
            "partly cached": partly_cached(eager, Path(folder)),
            "taught": taught(eager, cached=False),
            "taught from a cache": taught(eager, cached=True),
            "direct": direct(images(1, 4)),
            "refused": refused,
        }


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_two_processes(shared_work, tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("runtime", ["eager", "torch"])
def test_sharded_teacher_gives_what_the_whole_one_gives(runtime: Runtime, processes: list[dict[str, Any]]) -> None:
    whole = deployed(runtime)
    assert whole.sharded is None
    for count, process in zip(COUNTS, processes, strict=True):
        found, expected = process["outputs"][runtime], whole(images(count))
        for name in ("logits", "pooled", "feature_map", "classifier_weight", "classifier_bias"):
            torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-6, atol=1e-6)
        for ours, theirs in zip(found.stage_maps, expected.stage_maps, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_each_process_holds_half_of_the_parameters(processes: list[dict[str, Any]]) -> None:
    size = sum(4 * parameter.numel() for parameter in FrozenClassifier(teacher()).parameters())
    held = [process["bytes"][0] for process in processes]
    assert [process["bytes"][1] for process in processes] == [size, size]
    assert sum(held) == size
    assert max(held) <= 0.51 * size


def test_process_with_fewer_batches_keeps_step(processes: list[dict[str, Any]]) -> None:
    whole = deployed("eager")
    for count, process in zip(BATCHES, processes, strict=True):
        assert process["none looks"] is False
        torch.testing.assert_close(torch.cat(process["stepped"]), whole(images(count)).logits)


def test_process_whose_rows_are_cached_keeps_step(processes: list[dict[str, Any]]) -> None:
    whole = deployed("eager")
    for process, indices in zip(processes, ([0, 1], [2, 3]), strict=True):
        torch.testing.assert_close(process["partly cached"][1].logits, whole(images(10)[indices]).logits)


@pytest.mark.parametrize("way", ["taught", "taught from a cache"])
def test_training_with_a_sharded_teacher_ends_in_the_same_weights(way: str, processes: list[dict[str, Any]]) -> None:
    alone = taught(deployed("eager"), cached=way != "taught")
    for process in processes:
        torch.testing.assert_close(process[way], alone, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(processes[0][way][name], processes[1][way][name]) for name in alone)


def test_sharded_answers_have_an_identity_of_their_own(processes: list[dict[str, Any]]) -> None:
    assert processes[0]["identity"] == f"{deployed('eager').identity}, sharded"


def test_layer_that_is_used_without_a_call_is_gathered_with_what_uses_it(processes: list[dict[str, Any]]) -> None:
    expected = Direct(calls=False)(images(1, 4))
    for process in processes:
        torch.testing.assert_close(process["direct"], expected)


def test_network_that_uses_a_block_outside_of_its_call_is_refused(processes: list[dict[str, Any]]) -> None:
    for process in processes:
        assert "teacher.visual.shard: the direct network cannot be sharded" in process["refused"]
