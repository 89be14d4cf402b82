from pathlib import Path

import pytest
import torch
from torch import Tensor

from exporters.student.architectures import Architecture, build
from pipeline.distill.losses import class_attention_loss
from pipeline.distill.methods.at import attention_loss
from pipeline.distill.methods.sp import similarity_loss
from pipeline.models.outputs import NetworkOutput
from pipeline.models.tapped import TappedNetwork
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.settings import EdgeView, HighFrequencyView
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weighting import confidence_weighting, uniform_weighting
from pipeline.training.teacher_cache import CachedTeacher

CLASSES, SIZE, IMAGES, EPOCHS = 5, 16, 12, 3
SPECS = {"edge": EdgeView(strength=0.4), "high_frequency": HighFrequencyView(cutoff=0.3)}
KEPT = {"logits": "logits", "pooled": "pooled", "feature_map": "map2"}


def visual() -> TappedNetwork:
    torch.manual_seed(0)
    return TappedNetwork(build(Architecture("resnet8", "cifar"), CLASSES), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), SIZE)


def teacher(views: dict | None = None, weighting=confidence_weighting) -> MultiViewTeacher:
    return MultiViewTeacher(visual(), Views(SPECS if views is None else views), weighting, 0.5)


def batch(indices: list[int], epoch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images that (epoch, index) fixes, labels, indices."""
    images = [torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(100 * epoch + i)) for i in indices]
    return torch.stack(images), torch.tensor([i % CLASSES for i in indices]), torch.tensor(indices)


def cached(
    folder: Path, looks_at: MultiViewTeacher, kept: dict[str, str] = KEPT, storage: str = "float32"
) -> CachedTeacher:
    return CachedTeacher(looks_at, folder, EPOCHS, IMAGES, kept, pool=2, storage=storage)


def count_looks(looks_at: MultiViewTeacher) -> list[int]:
    seen: list[int] = []
    looks_at.visual.network.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    return seen


def assert_same_lesson(found: NetworkOutput, expected: NetworkOutput) -> None:
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.pooled, expected.pooled)
    assert found.classifier_weight is not None and expected.feature_map is not None
    student = torch.rand(len(found.logits), 7, 4, 4, generator=torch.Generator().manual_seed(3))
    weight = torch.rand(CLASSES, 7, generator=torch.Generator().manual_seed(4))
    losses = [
        class_attention_loss(student, weight, output.feature_map, output.classifier_weight, pool=2, normalise=False)
        for output in (found, expected)
    ]
    torch.testing.assert_close(losses[0], losses[1])
    for loss in (attention_loss, similarity_loss):
        on_maps = [loss(student, maps, 2) for maps in (found.feature_map, expected.feature_map) if maps is not None]
        torch.testing.assert_close(on_maps[0], on_maps[1])


@pytest.mark.parametrize("views", [{}, SPECS])
def test_cached_and_uncached_teacher_give_the_same_lesson(tmp_path: Path, views: dict):
    plain, behind = teacher(views), cached(tmp_path, teacher(views))
    for epoch in range(EPOCHS):
        images, labels, indices = batch([3, 1, 4, 0], epoch)
        for _again in range(2):
            behind.commit()
            assert_same_lesson(behind(images, labels, epoch, indices), plain(images, labels))


def test_cached_answers_to_shown_views_are_those_of_the_teacher(tmp_path: Path):
    plain, behind = teacher(), cached(tmp_path, teacher())
    images, labels, indices = batch([3, 1, 4, 0], 0)
    for shown in (None, torch.tensor([0, 1, 2, 1]), torch.tensor([2, 0, 0, 1])):  # each draw from the same cache
        expected = plain(images, labels, 0, indices, shown)
        assert_same_lesson(behind(images, labels, 0, indices, shown), expected)
        behind.commit()


def test_teacher_sees_each_augmented_image_once(tmp_path: Path):
    looks_at = teacher()
    seen, behind = count_looks(looks_at), cached(tmp_path, looks_at)
    for epoch in range(2 * EPOCHS):  # the second cycle comes in another order
        order = [[0, 1, 2, 3], [4, 5, 6, 7]] if epoch < EPOCHS else [[7, 0, 6, 1], [5, 2, 4, 3]]
        for indices in order:
            behind(*batch(indices, epoch % EPOCHS)[:2], epoch, torch.tensor(indices))
    assert seen == [12] * 2 * EPOCHS
    images, labels, indices = batch([2, 9, 3], 0)  # one of the three is not known yet
    found = behind(images, labels, 0, indices)
    assert seen[2 * EPOCHS :] == [3]
    assert_same_lesson(found, teacher()(images, labels))


def test_another_process_resumes_from_committed_outputs(tmp_path: Path):
    images, labels, indices = batch([3, 1], 1)
    first = cached(tmp_path, teacher())
    first(images, labels, 1, indices)
    expected = teacher()(images, labels)
    uncommitted = teacher()
    seen = count_looks(uncommitted)
    cached(tmp_path, uncommitted)(images, labels, 1, indices)
    assert len(seen) == 1  # a killed process may not have brought its values to the disk
    first.commit()
    committed = teacher()
    seen = count_looks(committed)
    assert_same_lesson(cached(tmp_path, committed)(torch.zeros_like(images), labels, 1, indices), expected)
    assert not seen


def test_cached_outputs_do_not_depend_on_labels_weights_or_view_names(tmp_path: Path):
    """Outputs are kept for each view, before labels and weights are applied."""
    images, labels, indices = batch([3, 1, 5], 2)
    first = cached(tmp_path, teacher())
    first(images, labels, 2, indices)
    first.commit()
    for views, weighting in (({}, uniform_weighting), (SPECS, uniform_weighting), ({"contour": SPECS["edge"]}, None)):
        other = teacher(views, weighting or confidence_weighting)
        seen = count_looks(other)
        found = cached(tmp_path, other)(images, labels.flip(0), 2, indices)
        assert not seen
        assert_same_lesson(found, teacher(views, weighting or confidence_weighting)(images, labels.flip(0)))


def test_embeddings_of_the_image_tower_are_kept(tmp_path: Path):
    towers = []

    def tower(views: Tensor) -> Tensor:
        towers.append(len(views))
        return views.mean(dim=(2, 3))

    given = []

    def weighting(embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
        assert embeddings is not None
        given.append(embeddings)
        return embeddings.sum(-1).T

    looks_at = MultiViewTeacher(visual(), Views(SPECS), weighting, 1.0, tower)
    behind = cached(tmp_path, looks_at, {"logits": "logits", "embeddings": "embeddings-a"})
    images, labels, indices = batch([3, 1], 0)
    first = behind(images, labels, 0, indices)
    behind.commit()
    second = behind(images, labels, 0, indices)
    assert towers == [6] and torch.equal(first.logits, second.logits)
    torch.testing.assert_close(given[1], Views(SPECS)(images).mean(dim=(3, 4)))
    assert first.feature_map is None and first.pooled.shape == (2, 0)


def test_outputs_are_the_same_to_the_bit_before_and_after_they_are_read(tmp_path: Path):
    """So that a run that is killed and goes on ends as one that was not."""
    images, labels, indices = batch([3, 1, 4, 0], 1)
    for storage in ("float32", "float16"):
        behind = cached(tmp_path / storage, teacher(), storage=storage)
        fresh = behind(images, labels, 1, indices)
        behind.commit()
        read = cached(tmp_path / storage, teacher(), storage=storage)(torch.zeros_like(images), labels, 1, indices)
        for name in ("logits", "pooled", "feature_map"):
            assert torch.equal(getattr(fresh, name), getattr(read, name))
            assert getattr(fresh, name).stride() == getattr(read, name).stride()  # sums follow from the layout too
    exact = teacher()(images, labels)
    torch.testing.assert_close(read.logits, exact.logits, rtol=2e-3, atol=2e-3)
    assert not torch.equal(read.logits, exact.logits) and 0 < behind.largest_error < 2**-11


def test_values_reach_the_disk_while_an_epoch_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    behind = cached(tmp_path, teacher())
    behind(*batch([3, 1], 0)[:2], 0, torch.tensor([3, 1]))
    monkeypatch.setattr("pipeline.training.teacher_cache._COMMIT_SECONDS", 0.0)
    behind(*batch([4, 0], 0)[:2], 0, torch.tensor([4, 0]))  # the process might be killed after this
    other = teacher()
    seen = count_looks(other)
    images, labels, indices = batch([3, 1, 4], 0)
    cached(tmp_path, other)(images, labels, 0, indices)
    assert seen == [3]  # 3 and 1 are there


def test_maps_of_stages_are_kept_where_asked(tmp_path: Path):
    looks_at, plain = teacher(), teacher()
    looks_at.visual.tap_stages = plain.visual.tap_stages = True
    kept = {"logits": "logits", **{f"stage{n}": f"stage{n}" for n in range(len(plain.visual.shape.stages))}}
    images, labels, indices = batch([3, 1], 0)
    expected = plain(images, labels).stage_maps
    behind = cached(tmp_path, looks_at, kept)
    seen = count_looks(looks_at)
    for _again in range(2):
        found = behind(images, labels, 0, indices).stage_maps
        assert len(found) == len(expected) == 3
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)
        behind.commit()
    assert len(seen) == 1
