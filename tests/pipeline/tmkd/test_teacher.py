from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from exporters.student.architectures import Architecture, build
from pipeline.models.clip import build_clip
from pipeline.models.deployment import sharding
from pipeline.models.deployment.choice import Place
from pipeline.models.deployment.deployed import DeployedClassifier, DeployedTower
from pipeline.models.tapped import TappedNetwork
from pipeline.tmkd.choice import ScoreStatistics
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.settings import EdgeView, FlipView, HighFrequencyView
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weighting import ViewWeighting, confidence_weighting, uniform_weighting
from tests.pipeline.models.small_clip import write_description

CLASSES, SIZE = 6, 16
SPECS = {"edge": EdgeView(strength=0.4), "high_frequency": HighFrequencyView(cutoff=0.3)}


def visual(seed: int = 0, name: str = "resnet8") -> TappedNetwork:
    torch.manual_seed(seed)
    source = "cifar" if name == "resnet8" else "torchvision"
    return TappedNetwork(build(Architecture(name, source), CLASSES), (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), SIZE)


def batch(count: int = 5, size: int = SIZE) -> tuple[Tensor, Tensor]:
    drawn = torch.Generator().manual_seed(2)
    images = torch.rand(count, 3, size, size, generator=drawn).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(0, CLASSES, (count,), generator=drawn)


def softmax(values: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def of_each_view(tapped: TappedNetwork, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Logits `[V, B, K]` and maps `[V, B, C, h, w]` in float64, each view in a pass of its own."""
    with torch.no_grad():
        outputs = [tapped(view) for view in Views(SPECS)(images)]
    logits = np.stack([output.logits.numpy() for output in outputs]).astype(np.float64)
    maps = np.stack([output.feature_map.numpy() for output in outputs]).astype(np.float64)
    return logits, maps


@pytest.mark.parametrize("weighting", [confidence_weighting, uniform_weighting])
def test_one_view_is_the_ordinary_teacher(weighting: ViewWeighting):
    tapped = visual()
    images, labels = batch()
    found = MultiViewTeacher(tapped, Views({}), weighting, 0.3)(images, labels)
    with torch.no_grad():
        expected = tapped(images)
    assert torch.equal(found.logits, expected.logits)
    assert torch.equal(found.pooled, expected.pooled)
    assert torch.equal(found.feature_map, expected.feature_map)
    assert found.classifier_weight is expected.classifier_weight
    assert found.classifier_bias is expected.classifier_bias


@pytest.mark.parametrize("temperature", [0.1, 1.0, 7.0])
def test_the_fused_teacher_is_the_weighted_sum_of_its_views(temperature: float):
    tapped = visual()
    images, labels = batch()
    teacher = MultiViewTeacher(tapped, Views(SPECS), confidence_weighting, temperature)
    found = teacher(images, labels)
    logits, maps = of_each_view(tapped, images)
    score = np.log(softmax(logits, axis=2))[:, np.arange(len(labels)), labels.numpy()]
    weights = softmax(score / temperature, axis=0)
    np.testing.assert_allclose(found.logits, (weights[..., None] * logits).sum(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.feature_map, (weights[..., None, None, None] * maps).sum(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(teacher.weigh(teacher.look(images), labels), weights.T, rtol=1e-4, atol=1e-6)
    assert weights.std() > 1e-3
    # Fusion is linear: the fused map still explains the fused logits.
    weight, bias = found.classifier_weight.detach(), found.classifier_bias.detach()
    torch.testing.assert_close(found.feature_map.mean((2, 3)) @ weight.T + bias, found.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.pooled, found.feature_map.mean((2, 3)))


def test_maps_of_a_mirrored_view_are_mirrored_back_before_they_are_fused():
    tapped = visual()
    tapped.tap_stages = True
    images, labels = batch()
    teacher = MultiViewTeacher(tapped, Views({"flip": FlipView()}), uniform_weighting, 1.0)
    found = teacher(images, labels)
    with torch.no_grad():
        plain, mirrored = tapped(images), tapped(images.flip(-1))
    torch.testing.assert_close(found.feature_map, (plain.feature_map + mirrored.feature_map.flip(-1)) / 2)
    for fused, own, other in zip(found.stage_maps, plain.stage_maps, mirrored.stage_maps, strict=True):
        torch.testing.assert_close(fused, (own + other.flip(-1)) / 2)
    weight, bias = found.classifier_weight.detach(), found.classifier_bias.detach()
    torch.testing.assert_close(found.feature_map.mean((2, 3)) @ weight.T + bias, found.logits, rtol=1e-4, atol=1e-4)


def test_stage_maps_are_fused_where_they_are_tapped():
    tapped = visual()
    images, labels = batch()
    teacher = MultiViewTeacher(tapped, Views(SPECS), confidence_weighting, 0.5)
    assert teacher(images, labels).stage_maps == ()
    tapped.tap_stages = True
    found = teacher(images, labels)
    weights = teacher.weigh(teacher.look(images), labels).T[..., None, None, None]
    with torch.no_grad():
        outputs = [tapped(view) for view in Views(SPECS)(images)]
    assert [maps.shape[1] for maps in found.stage_maps] == [16, 32, 64]
    for stage, maps in enumerate(found.stage_maps):
        views = torch.stack([output.stage_maps[stage] for output in outputs])
        torch.testing.assert_close(maps, (weights * views).sum(0), rtol=1e-4, atol=1e-5)
    assert torch.equal(found.stage_maps[-1], found.feature_map)


def test_uniform_weights_give_the_mean():
    tapped = visual()
    images, labels = batch()
    found = MultiViewTeacher(tapped, Views(SPECS), uniform_weighting, 1.0)(images, labels)
    np.testing.assert_allclose(found.logits, of_each_view(tapped, images)[0].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_a_net_without_maps_is_fused_by_its_logits():
    torch.manual_seed(0)
    tapped = TappedNetwork(build(Architecture("squeezenet1_1", "torchvision"), CLASSES), (0.5,) * 3, (0.2,) * 3, 32)
    images, labels = batch(size=32)
    found = MultiViewTeacher(tapped, Views(SPECS), uniform_weighting, 1.0)(images, labels)
    assert found.feature_map is None
    assert found.classifier_weight is None
    with torch.no_grad():
        expected = torch.stack([tapped(view).logits for view in Views(SPECS)(images)]).mean(dim=0)
    torch.testing.assert_close(found.logits, expected, rtol=1e-4, atol=1e-5)


def test_label_free_weights_are_those_of_the_likeliest_class():
    tapped = visual()
    images, labels = batch(12)
    teacher = MultiViewTeacher(tapped, Views(SPECS), confidence_weighting, 0.2)
    viewed = teacher.look(images)
    logits, _ = of_each_view(tapped, images)
    guessed = logits.mean(axis=0).argmax(axis=1)
    expected = softmax(np.log(softmax(logits, 2))[:, np.arange(12), guessed] / 0.2, axis=0).T
    np.testing.assert_allclose(teacher.weigh_label_free(viewed), expected, rtol=1e-3, atol=1e-5)
    assert (guessed != labels.numpy()).any()
    assert not np.allclose(teacher.weigh(viewed, labels), expected, atol=1e-3)


def test_all_views_go_through_the_teacher_in_one_pass():
    tapped = visual()
    images, labels = batch()
    sizes: list[tuple[int, ...]] = []
    tapped.network.register_forward_pre_hook(lambda _module, inputs: sizes.append(tuple(inputs[0].shape)))
    teacher = MultiViewTeacher(tapped, Views(SPECS), confidence_weighting, 1.0)
    teacher(images, labels)
    assert sizes == [(15, 3, SIZE, SIZE)]
    viewed = teacher.look(images)
    teacher.weigh(viewed, labels)
    teacher.weigh_label_free(viewed)
    assert len(sizes) == 2


def test_the_teacher_is_frozen():
    tapped = visual().train()
    images, labels = batch()
    teacher = MultiViewTeacher(tapped, Views(SPECS), confidence_weighting, 1.0)
    before = {key: value.clone() for key, value in tapped.state_dict().items()}
    first, second = teacher(images, labels), teacher(images, labels)
    assert not tapped.training
    assert not any(module.training for module in tapped.modules())
    assert not any(parameter.requires_grad for parameter in tapped.parameters())
    for tensor in (first.logits, first.pooled, first.feature_map, first.classifier_weight, first.classifier_bias):
        assert not tensor.requires_grad
    assert torch.equal(first.logits, second.logits)
    after = tapped.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)  # running statistics, too


def test_labels_reach_only_the_view_weighting():
    images, labels = batch()
    seen: list[Tensor] = []

    def weighting(embeddings: Tensor | None, logits: Tensor, given: Tensor) -> Tensor:
        assert embeddings is None
        assert logits.shape == (3, 5, CLASSES)
        seen.append(given)
        return torch.zeros(5, 3)

    teacher = MultiViewTeacher(visual(), Views(SPECS), weighting, 1.0)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(teacher(images, labels).logits, teacher(images, labels[order]).logits)
    assert torch.equal(seen[0], labels)
    assert torch.equal(seen[1], labels[order])


def test_the_image_tower_sees_every_view():
    images, labels = batch()
    seen: list[Tensor] = []

    def tower(views: Tensor) -> Tensor:
        return views.mean(dim=(2, 3))

    def weighting(embeddings: Tensor | None, logits: Tensor, given: Tensor) -> Tensor:
        assert embeddings is not None
        seen.append(embeddings)
        return torch.zeros(5, 3)

    MultiViewTeacher(visual(), Views(SPECS), weighting, 1.0, tower)(images, labels)
    torch.testing.assert_close(seen[0], Views(SPECS)(images).mean(dim=(3, 4)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_fusion_stays_in_fp32_under_autocast(dtype: torch.dtype):
    images, labels = batch()
    teacher = MultiViewTeacher(visual(), Views(SPECS), confidence_weighting, 1.0)
    plain = teacher(images, labels)
    with torch.autocast("cpu", dtype):
        mixed = teacher(images, labels)
    assert mixed.logits.dtype == mixed.feature_map.dtype == torch.float32
    torch.testing.assert_close(mixed.logits, plain.logits, rtol=0.05, atol=0.05 * plain.logits.abs().max().item())


def test_views_are_made_at_the_student_size_and_then_resized():
    torch.manual_seed(0)
    network = build(Architecture("resnet8", "cifar"), CLASSES)
    tapped = TappedNetwork(network, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), 24)
    images, labels = batch()
    teacher = MultiViewTeacher(tapped, Views(SPECS), uniform_weighting, 1.0, lambda views: views.flatten(1))
    viewed = teacher.look(images)
    assert viewed.embeddings is not None
    assert viewed.embeddings.shape == (3, 5, 3 * SIZE * SIZE)  # CLIP has a size of its own
    expected = []
    for view in Views(SPECS)(images):
        bands = [
            [np.asarray(Image.fromarray(band).resize((24, 24), Image.Resampling.BICUBIC)) for band in image]
            for image in view.contiguous().numpy()
        ]
        with torch.no_grad():
            expected.append(tapped(torch.from_numpy(np.asarray(bands)).clamp(0, 1)).logits)
    torch.testing.assert_close(viewed.output.logits, torch.stack(expected), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(teacher(images, labels).logits, torch.stack(expected).mean(0), rtol=1e-3, atol=1e-4)


def test_answer_for_a_shown_view_is_the_output_on_that_view():
    tapped = visual()
    images, labels = batch()
    teacher = MultiViewTeacher(tapped, Views(SPECS), confidence_weighting, 0.5)
    shown = torch.tensor([0, 1, 2, 2, 0])
    found, fused = teacher(images, labels, 0, None, shown), teacher(images, labels)
    own = teacher.look(images).output
    for row, view in enumerate(shown.tolist()):
        expected = fused if view == 0 else own
        at = row if view == 0 else (view, row)
        for name in ("logits", "pooled", "feature_map"):
            assert torch.equal(getattr(found, name)[row], getattr(expected, name)[at]), (name, row)
    assert not torch.equal(found.logits[1], fused.logits[1])
    # Without shown views nothing changes, and neither where each image is shown as it is.
    for same in (teacher(images, labels, 0, None, None), teacher(images, labels, 0, None, torch.zeros(5).long())):
        assert torch.equal(same.logits, fused.logits) and torch.equal(same.feature_map, fused.feature_map)


def test_map_of_a_shown_mirrored_view_stays_mirrored():
    tapped = visual()
    images, labels = batch()
    teacher = MultiViewTeacher(tapped, Views({"flip": FlipView()}), uniform_weighting, 1.0)
    found = teacher(images, labels, 0, None, torch.tensor([1, 0, 1, 0, 0]))
    with torch.no_grad():
        mirrored, plain = tapped(images.flip(-1)).feature_map, tapped(images).feature_map
    for row in (0, 2):
        torch.testing.assert_close(found.feature_map[row], mirrored[row])
    for row in (1, 3, 4):
        torch.testing.assert_close(found.feature_map[row], (plain[row] + mirrored[row].flip(-1)) / 2)


def test_teacher_that_is_clips_tower_looks_once() -> None:
    """The embeddings of its own pooled features are those of a second look."""
    tapped, (images, _labels) = visual(), batch()
    matrix = torch.rand(tapped.shape.channels, 3, generator=torch.Generator().manual_seed(4))
    looks: list[int] = []
    tapped.network.register_forward_pre_hook(lambda _module, inputs: looks.append(len(inputs[0])))
    views = Views(SPECS)
    twice = MultiViewTeacher(tapped, views, uniform_weighting, 1.0, lambda shown: tapped(shown).pooled @ matrix)
    once = MultiViewTeacher(tapped, views, uniform_weighting, 1.0, projection=lambda pooled: pooled @ matrix)
    assert once.has_image_tower
    expected = twice.look(images)
    looks.clear()
    found = once.look(images)
    assert looks == [len(views) * len(images)]
    assert torch.equal(once.embed(images), twice.embed(images))
    assert torch.equal(found.embeddings, expected.embeddings) and torch.equal(
        found.output.logits, expected.output.logits
    )


def test_deployed_teacher_in_eager_pytorch_is_the_network_to_the_bit(tmp_path: Path) -> None:
    """`teacher.runtime: eager` is what there was before teachers were deployed."""
    images, labels = batch()
    place = Place(tmp_path, "key", torch.device("cpu"), False, lambda: images, 1)
    deployed = MultiViewTeacher(DeployedClassifier(visual(), "eager", place), Views(SPECS), confidence_weighting, 0.5)
    plain = MultiViewTeacher(visual(), Views(SPECS), confidence_weighting, 0.5)
    ours, theirs = deployed(images, labels), plain(images, labels)
    assert torch.equal(ours.logits, theirs.logits) and torch.equal(ours.feature_map, theirs.feature_map)
    assert [each.runtime for each in deployed.decisions] == ["eager"] and plain.decisions == ()


def test_whole_images_take_the_place_of_what_clip_sees_of_a_crop() -> None:
    images, labels = batch()
    asked: list[Tensor] = []

    def whole(indices: Tensor) -> Tensor:
        asked.append(indices)
        return indices.float().view(1, -1, 1) * torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1)

    def weighting(embeddings: Tensor | None, logits: Tensor, given: Tensor) -> Tensor:
        assert embeddings is not None
        return embeddings[..., 0].T

    for tower in ({"image_tower": lambda views: views.mean(dim=(2, 3))}, {"projection": lambda pooled: pooled}):
        plain = MultiViewTeacher(visual(), Views(SPECS), weighting, 1.0, **tower)
        seeing, indices = plain.seeing(whole), torch.tensor([0, 1, 2, 3, 0])
        assert plain.has_image_tower and not seeing.has_image_tower
        viewed = seeing.look(images)
        assert viewed.embeddings is None and plain.remembered(viewed, None) is viewed
        found = seeing.remembered(viewed, indices)
        assert torch.equal(found.embeddings, whole(indices)) and found.output is viewed.output
        weights = softmax(np.outer(indices.numpy(), [1.0, -1.0, 0.0]), axis=1)
        np.testing.assert_allclose(seeing.weigh(found, labels), weights, rtol=1e-5)
        expected = np.einsum("bv,vbk->bk", weights, of_each_view(plain.visual, images)[0])
        np.testing.assert_allclose(seeing(images, labels, 0, indices).logits, expected, rtol=1e-4, atol=1e-5)
        assert all(torch.equal(each, indices) for each in asked)


class Recording:
    """Parts that were timed, and a sharded network's calls for others."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self.seen.append(name)
        yield

    def idle(self) -> None:
        self.seen.append("idle")


def test_parts_are_timed_by_their_names() -> None:
    images, _ = batch()
    teacher = MultiViewTeacher(visual(), Views(SPECS), uniform_weighting, 1.0, lambda views: views.mean(dim=(2, 3)))
    teacher.timer = timer = Recording()  # type: ignore[assignment]
    teacher.look(images)
    seeing = teacher.seeing(lambda indices: torch.zeros(3, len(indices), 1))
    seeing.remembered(seeing.look(images), torch.arange(5))
    assert timer.seen == ["views", "clip", "views", "cache"]


@pytest.fixture
def deployed(tmp_path: Path) -> tuple[DeployedClassifier, DeployedTower]:
    """A visual teacher and CLIP's image tower."""
    place = Place(tmp_path, "key", torch.device("cpu"), False, lambda: batch()[0], 1)
    clip = build_clip(str(write_description(tmp_path)))
    return DeployedClassifier(visual(), "eager", place), DeployedTower(clip, "eager", place)


def others_look(monkeypatch: pytest.MonkeyPatch, answers: Iterable[bool]) -> None:
    """A second process, which looks or does not each time that it is asked."""
    rest = iter(answers)
    monkeypatch.setattr(sharding, "of_all", lambda value: [value, next(rest)])


def test_step_is_kept_with_the_networks_that_are_sharded(
    deployed: tuple[DeployedClassifier, DeployedTower], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, tower = deployed
    teacher = MultiViewTeacher(classifier, Views({}), uniform_weighting, 1.0, tower)
    seeing = teacher.seeing(lambda indices: torch.zeros(1, len(indices), 1))
    others_look(monkeypatch, [])  # nobody is asked where nothing is sharded
    for asked in (teacher, seeing):
        asked.keep_step(False)
        asked.keep_embed_step(False)
    classifier.sharded, tower.sharded = looked, embedded = Recording(), Recording()  # type: ignore[assignment]
    others_look(monkeypatch, [True] * 4)
    teacher.keep_step(True)
    assert (len(looked.seen), len(embedded.seen)) == (0, 0)
    teacher.keep_step(False)
    assert (len(looked.seen), len(embedded.seen)) == (1, 1)
    seeing.keep_step(False)  # it looks at no crop
    assert (len(looked.seen), len(embedded.seen)) == (2, 1)
    seeing.keep_embed_step(False)
    assert (len(looked.seen), len(embedded.seen)) == (2, 2)


def test_batches_are_in_step_with_those_of_a_process_that_has_one_more(
    deployed: tuple[DeployedClassifier, DeployedTower], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, tower = deployed
    teacher, batches = MultiViewTeacher(classifier, Views({}), uniform_weighting, 1.0, tower), [1, 2, 3]
    seeing = teacher.seeing(lambda indices: torch.zeros(1, len(indices), 1))
    assert teacher.in_step(batches) is batches and teacher.in_step(batches, looks=False, embeds=True) is batches
    classifier.sharded, tower.sharded = looked, embedded = Recording(), Recording()  # type: ignore[assignment]
    others_look(monkeypatch, [True] * 4 + [False])
    assert list(teacher.in_step(batches)) == batches
    assert (len(looked.seen), len(embedded.seen)) == (1, 1)
    others_look(monkeypatch, [True] * 4 + [True, False])  # the last time but one for what it embeds
    assert list(seeing.in_step(batches, embeds=True)) == batches
    assert (len(looked.seen), len(embedded.seen)) == (2, 2)
    others_look(monkeypatch, [True] * 4 + [False, False])  # it knows that image already
    assert list(teacher.in_step(batches, looks=False, embeds=True)) == batches
    assert (len(looked.seen), len(embedded.seen)) == (2, 2)
    classifier.sharded = None
    others_look(monkeypatch, [True] * 4 + [True, False])
    assert list(seeing.in_step(batches, embeds=True)) == batches
    assert (len(looked.seen), len(embedded.seen)) == (2, 3)


def test_teachers_are_shown_channels_last_and_embed_each_view() -> None:
    images, _ = batch()
    layouts: list[bool] = []

    def weighting(embeddings: Tensor | None, logits: Tensor, given: Tensor) -> Tensor:
        assert embeddings is not None
        return embeddings[..., 1].T

    def tower(views: Tensor) -> Tensor:
        layouts.append(views.is_contiguous(memory_format=torch.channels_last) and not views.is_contiguous())
        return views.mean(dim=(2, 3))

    teacher = MultiViewTeacher(visual(), Views(SPECS), weighting, 1.0, tower)
    torch.testing.assert_close(teacher.embed(images.contiguous()), Views(SPECS)(images).mean(dim=(3, 4)))
    assert layouts == [True]
    looked = teacher.look(images)
    assert looked.embeddings is not None and torch.equal(looked.embeddings, teacher.embed(images))
    torch.testing.assert_close(teacher.weigh_label_free(looked), looked.embeddings[..., 1].T.softmax(dim=1))


def test_scores_are_standardised_where_there_are_statistics() -> None:
    images, labels = batch()
    statistics = tuple(
        ScoreStatistics(mean=mean, spread=spread) for mean, spread in ((-1.0, 2.0), (0.5, 1.0), (0.0, 3.0))
    )
    teacher = MultiViewTeacher(visual(), Views(SPECS), confidence_weighting, 0.5, statistics=statistics)
    viewed = teacher.look(images)
    score = np.log(softmax(viewed.output.logits.double().numpy(), axis=2))[:, np.arange(5), labels.numpy()].T
    expected = softmax((score - [-1.0, 0.5, 0.0]) / [2.0, 1.0, 3.0] / 0.5, axis=1)
    np.testing.assert_allclose(teacher.weigh(viewed, labels), expected, rtol=1e-4, atol=1e-6)
