"""CLIP looks once at each whole image, and its weights follow from that."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from exporters.student.architectures import Architecture, build
from pipeline.models.tapped import TappedNetwork
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.settings import EdgeView
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.whole_images import WholeImages
from pipeline.training.teacher_cache import CachedTeacher

IMAGES, SIZE = 6, 16
VIEWS = Views({"edge": EdgeView()})


def images_of(indices: list[int]) -> tuple[Tensor, Tensor]:
    made = [torch.rand(3, SIZE, SIZE, generator=torch.Generator().manual_seed(i)) for i in indices]
    return torch.stack(made), torch.tensor(indices)


class Tower:
    """An image tower that counts what it is shown."""

    def __init__(self) -> None:
        self.shown: list[int] = []

    def __call__(self, views: Tensor) -> Tensor:
        self.shown.append(len(views))
        return views.mean(dim=(2, 3))


def by_embedding(embeddings: Tensor | None, logits: Tensor, labels: Tensor) -> Tensor:
    assert embeddings is not None
    return 30 * embeddings[..., 0].T


def teacher(tower: Tower) -> MultiViewTeacher:
    torch.manual_seed(0)
    net = TappedNetwork(build(Architecture("resnet8", "cifar"), 5), (0.4,) * 3, (0.2,) * 3, SIZE)
    return MultiViewTeacher(net, VIEWS, by_embedding, 0.5, tower)


def seen(folder: Path, of: MultiViewTeacher, storage: str = "float32") -> WholeImages:
    return WholeImages(folder, IMAGES, VIEWS.identities, of.embed, torch.device("cpu"), storage)


def test_each_whole_image_is_looked_at_once(tmp_path: Path) -> None:
    tower = Tower()
    whole = seen(tmp_path, teacher(tower))
    assert whole.missing(np.arange(IMAGES)).all()
    for indices in ([0, 1, 2], [2, 3], [0, 3]):
        images, rows = images_of(indices)
        torch.testing.assert_close(whole.look(images, rows), VIEWS(images).mean(dim=(3, 4)))
    assert tower.shown == [2 * 3, 2 * 1]  # images in two views
    other = Tower()
    again = seen(tmp_path, teacher(other))  # another process
    assert again.missing(np.arange(IMAGES)).tolist() == [False] * 4 + [True] * 2
    images, rows = images_of([3, 1])
    torch.testing.assert_close(again(rows), VIEWS(images).mean(dim=(3, 4)))
    assert not other.shown


def test_embeddings_are_kept_in_the_storage_and_given_in_float32_on_the_device(tmp_path: Path) -> None:
    plain, (images, rows) = teacher(Tower()), images_of([0, 4, 5])
    half = seen(tmp_path / "half", plain, "float16")
    half.commit()  # nothing yet
    exact = plain.embed(images.contiguous(memory_format=torch.channels_last))
    found = half.look(images, rows)
    assert found.dtype == torch.float32 and torch.equal(found, exact.half().float()) and not torch.equal(found, exact)
    whole = seen(tmp_path / "whole", plain)
    assert torch.equal(whole.look(images, rows), exact)
    assert [np.load(tmp_path / "whole" / f"{view}.npy").dtype for view in VIEWS.identities] == [np.float32] * 2
    assert np.load(tmp_path / "whole" / "rgb.npy").shape == (1, IMAGES, 3)  # one epoch: looked at once
    there = WholeImages(tmp_path / "whole", IMAGES, VIEWS.identities, plain.embed, torch.device("meta"))
    assert not there.missing(rows.numpy()).any() and there(rows).device.type == "meta"


@pytest.mark.parametrize("views", [1, 3])
def test_embeddings_of_other_views_than_those_named_are_refused(views: int, tmp_path: Path) -> None:
    whole = WholeImages(
        tmp_path, IMAGES, VIEWS.identities, lambda x: torch.zeros(views, len(x), 4), torch.device("cpu")
    )
    with pytest.raises(ValueError, match="zip"):
        whole.look(*images_of([0, 1]))


def test_image_is_missing_where_one_view_of_it_is(tmp_path: Path) -> None:
    plain, (images, rows) = teacher(Tower()), images_of([0, 4])
    seen(tmp_path, plain).look(images, rows)
    other = Views({"edge": EdgeView(strength=1.0)})
    wider = WholeImages(tmp_path, IMAGES, (*VIEWS.identities, other.identities[1]), plain.embed, torch.device("cpu"))
    assert wider.missing(np.arange(IMAGES)).all()


def test_tower_is_shown_the_missing_images_alone_and_channels_last(tmp_path: Path) -> None:
    shown: list[Tensor] = []

    def embed(missing: Tensor) -> Tensor:
        shown.append(missing)
        return missing.mean(dim=(2, 3)).expand(2, -1, -1).bfloat16()

    whole = WholeImages(tmp_path, IMAGES, VIEWS.identities, embed, torch.device("cpu"))
    (first, rows), (images, more) = images_of([1, 3]), images_of([3, 0, 1, 2])
    whole.look(first, rows)
    whole.look(images, more)
    assert torch.equal(shown[0], first) and torch.equal(shown[1], images[[1, 3]])
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in shown)
    expected = images.mean(dim=(2, 3)).bfloat16().float()
    torch.testing.assert_close(whole(more), expected.expand(2, -1, -1), atol=1e-2, rtol=0)


def test_weights_follow_from_the_whole_image_and_answers_from_the_crop(tmp_path: Path) -> None:
    tower = Tower()
    plain = teacher(tower)
    whole = seen(tmp_path, plain)
    images, rows = images_of([0, 4, 5])
    whole.look(images, rows)
    crops, labels = images.flip(0) ** 2, torch.tensor([0, 1, 2])
    expected = plain.rule.weigh(VIEWS(images).mean(dim=(3, 4)), plain.look(crops).output.logits, labels)
    looked = len(tower.shown)
    remembering = plain.seeing(whole)
    viewed = remembering.remembered(remembering.look(crops), rows)
    torch.testing.assert_close(remembering.weigh(viewed, labels), expected)
    torch.testing.assert_close(viewed.output.logits, plain.look(crops).output.logits)
    cached = CachedTeacher(plain.seeing(whole), tmp_path / "cache", 1, IMAGES, {"logits": "logits"}, pool=2)
    for _again in range(2):
        torch.testing.assert_close(
            cached(crops, labels, 0, rows).logits, remembering(crops, labels, 0, rows).logits, rtol=1e-5, atol=1e-5
        )
        cached.commit()
    assert not (tmp_path / "cache").joinpath("embeddings-rgb.npy").exists()
    assert len(tower.shown) == looked + 1  # `plain` alone asked it again


def test_a_crop_that_is_the_whole_image_weighs_alike(tmp_path: Path) -> None:
    plain = teacher(Tower())
    whole = seen(tmp_path, plain)
    images, rows = images_of([0, 4, 5])
    whole.look(images, rows)
    labels = torch.tensor([0, 1, 2])
    torch.testing.assert_close(
        plain.seeing(whole)(images, labels, 0, rows).logits, plain(images, labels, 0, rows).logits
    )
