"""Two processes over gloo that share CLIP's frozen image tower, against the whole tower in one."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.data.loading import Batch
from pipeline.distributed.collectives import process_count, process_number, sharing
from pipeline.evaluation.answers import ask
from pipeline.models.clip import Clip, build_clip
from pipeline.models.clip_tower import TowerClip, build_projected_clip
from pipeline.models.deployment.deployed import DeployedClassifier, DeployedTower
from pipeline.models.deployment.settings import Runtime
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.settings import EdgeView
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.whole_images import WholeImages
from pipeline.training.teacher_cache import CachedTeacher
from tests.pipeline.distributed.processes import in_two_processes
from tests.pipeline.distributed.shared_work import PlainNet
from tests.pipeline.models.deployment.networks import images, place, teacher
from tests.pipeline.models.small_clip import DESCRIPTION
from tests.pipeline.training.toy import BATCH, CLASSES, STEPS, Call, make_training, run

CPU = torch.device("cpu")
VIEWS = Views({"edge": EdgeView(strength=0.4)})
COUNTS = (3, 2)
"""Images of each process in a call: they need not be as many."""
VISION = {
    "transformer": {**DESCRIPTION["vision_cfg"], "layers": 3},
    # Its attention pool takes parameters of large layers without calling these.
    "resnet": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16},
}
KINDS = (*VISION, "projected")
TEACHERS = ("clip", "visual", "both")
"""Which of the two teachers is sharded."""


@cache
def tower(kind: str) -> Clip:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"tmkd_test_{kind}.json"
        path.write_text(json.dumps(DESCRIPTION | {"vision_cfg": VISION.get(kind, VISION["transformer"])}))
        if kind != "projected":
            return build_clip(str(path)).eval()
        network = teacher()
        return TowerClip(build_projected_clip(str(path), network.shape.channels), network).eval()


def deployed(kind: str, runtime: Runtime = "eager", *, sharded: bool = True) -> DeployedTower:
    """The tower, sharded if there are several processes."""
    with tempfile.TemporaryDirectory() as folder:
        return DeployedTower(
            tower(kind), runtime, place(Path(folder)), CPU if sharded and process_count() > 1 else None
        )


def by_embedding(embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
    assert embeddings is not None
    return 30 * embeddings[..., 0].T


def looking(which: str = "both") -> MultiViewTeacher:
    """A visual teacher and CLIP, of which the named ones are sharded if there are several processes."""
    with tempfile.TemporaryDirectory() as folder:
        shard_on = CPU if which in ("visual", "both") and process_count() > 1 else None
        visual = DeployedClassifier(teacher(), "eager", place(Path(folder)), shard_on)
    return MultiViewTeacher(
        visual, VIEWS, by_embedding, 0.5, deployed("transformer", sharded=which in ("clip", "both"))
    )


def taught(of: MultiViewTeacher, *, cached: bool) -> dict[str, Tensor]:
    """The end of a training of four epochs, of which two differ, under the fused teacher."""

    def imitation(task: Any, call: Call) -> dict[str, Tensor]:
        return {"kd": (task.logits(call.images) - call.guidance.logits[:, :CLASSES]).square().mean()}

    looks: Any = of
    with tempfile.TemporaryDirectory() as folder:
        if cached:
            kept = {"logits": "logits", "embeddings": "embeddings"}
            looks = CachedTeacher(of, Path(folder), 2, STEPS * BATCH, kept, pool=2)
        return run(make_training(PlainNet(), losses=imitation, teacher=looks), Path(folder)).final_state


def partly_cached(of: MultiViewTeacher) -> Tensor:
    """Logits where process 0 finds all rows in its cache, and the other looks."""
    with tempfile.TemporaryDirectory() as folder:
        kept = {"logits": "logits", "embeddings": "embeddings"}
        cached = CachedTeacher(of, Path(folder), 1, 10, kept, pool=2)
        labels = torch.zeros(2, dtype=torch.int64)
        for indices in ([0, 1], cached_rows(process_number())):
            found = cached(images(10)[indices], labels, 0, torch.tensor(indices))
    return found.logits


def cached_rows(number: int) -> list[int]:
    return [0, 1] if number == 0 else [2, 3]


def whole_batches(number: int, count: int = 2) -> list[Batch]:
    """Of process 0 three batches, of process 1 one; with one process all of them."""
    pixels = (255 * images(8)).to(torch.uint8)
    rows = [[0, 1], [2, 3], [4, 5], [6, 7]]
    mine = rows if count == 1 else rows[:3] if number == 0 else rows[3:]
    return [Batch(pixels[each], torch.zeros(2, dtype=torch.int64), torch.tensor(each)) for each in mine]


def answered(of: MultiViewTeacher, known: list[int]) -> list[tuple[Tensor, Tensor]]:
    """Logits and embeddings of each batch by `ask`, where CLIP looks at whole images, of which it has seen some."""
    with tempfile.TemporaryDirectory() as folder:
        whole = WholeImages(Path(folder), 8, VIEWS.identities, of.embed, CPU, "float32", of.keep_embed_step)
        if known:
            whole.look((255 * images(8)).to(torch.uint8)[known].float() / 255, torch.tensor(known))
        else:
            of.keep_embed_step(False)
        given = whole_batches(process_number(), process_count())
        found = [(each.logits, each.embeddings) for each in ask(of, given, CPU, whole)]
        for batch in of.in_step(given, looks=False, embeds=True):
            assert not whole.missing(batch.indices.numpy()).any()
            whole.look(batch.images.float() / 255, batch.indices)
    return found


def shared_work() -> dict[str, Any]:
    with sharing():
        number = process_number()
        towers = {kind: deployed(kind) for kind in KINDS}
        folded = {kind: deployed(kind, "torch") for kind in KINDS}
        mine = images(COUNTS[number], 32)
        return {
            "outputs": {(kind, "eager"): each(mine) for kind, each in towers.items()}
            | {(kind, "torch"): each(mine) for kind, each in folded.items()},
            "bytes": {kind: (each.sharded.held_bytes, each.sharded.total_bytes) for kind, each in towers.items()},
            "identity": towers["transformer"].identity,
            "taught": {which: taught(looking(which), cached=False) for which in TEACHERS},
            "taught from a cache": {which: taught(looking(which), cached=True) for which in TEACHERS},
            "partly cached": {which: partly_cached(looking(which)) for which in TEACHERS},
            "answered": {which: answered(looking(which), [0, 1, 2] if number == 0 else []) for which in TEACHERS},
        }


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_two_processes(shared_work, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def whole() -> MultiViewTeacher:
    return looking()


@pytest.mark.parametrize("runtime", ["eager", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_sharded_tower_gives_what_the_whole_one_gives(
    kind: str, runtime: Runtime, processes: list[dict[str, Any]]
) -> None:
    whole = deployed(kind, runtime)
    assert whole.sharded is None
    for count, process in zip(COUNTS, processes, strict=True):
        torch.testing.assert_close(process["outputs"][kind, runtime], whole(images(count, 32)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_each_process_holds_half_of_the_image_tower_and_no_text(kind: str, processes: list[dict[str, Any]]) -> None:
    clip = tower(kind)
    network = [clip.model.visual, *([clip.tower] if isinstance(clip, TowerClip) else [])]
    size = 4 * sum(parameter.numel() for module in network for parameter in module.parameters()) + 4  # the scale
    assert [process["bytes"][kind][1] for process in processes] == [size, size]
    held = [process["bytes"][kind][0] for process in processes]
    assert max(held) <= 0.51 * size and size <= sum(held) <= size + 4  # the scale, in each


def test_sharded_embeddings_have_an_identity_of_their_own(processes: list[dict[str, Any]]) -> None:
    assert processes[0]["identity"] == f"{deployed('transformer').identity}, sharded"


@pytest.mark.parametrize("which", TEACHERS)
@pytest.mark.parametrize("way", ["taught", "taught from a cache"])
def test_training_with_a_sharded_clip_ends_in_the_same_weights(
    which: str, way: str, processes: list[dict[str, Any]], whole: MultiViewTeacher
) -> None:
    alone = taught(whole, cached=way != "taught")
    for process in processes:
        torch.testing.assert_close(process[way][which], alone, rtol=1e-5, atol=1e-5)
    assert all(torch.equal(processes[0][way][which][name], processes[1][way][which][name]) for name in alone)


@pytest.mark.parametrize("which", TEACHERS)
def test_process_whose_rows_are_cached_keeps_step(
    which: str, processes: list[dict[str, Any]], whole: MultiViewTeacher
) -> None:
    for number, process in enumerate(processes):
        expected = whole(images(10)[cached_rows(number)], torch.zeros(2, dtype=torch.int64)).logits
        torch.testing.assert_close(process["partly cached"][which], expected)


@pytest.mark.parametrize("which", TEACHERS)
def test_process_with_fewer_batches_or_known_images_keeps_step(
    which: str, processes: list[dict[str, Any]], whole: MultiViewTeacher
) -> None:
    for number, process in enumerate(processes):
        batches = whole_batches(number)
        assert len(process["answered"][which]) == len(batches)
        for (logits, embeddings), batch in zip(process["answered"][which], batches, strict=True):
            expected = whole.look(batch.images.float() / 255)
            torch.testing.assert_close(logits, expected.output.logits)
            torch.testing.assert_close(embeddings, expected.embeddings, rtol=1e-5, atol=1e-6)
