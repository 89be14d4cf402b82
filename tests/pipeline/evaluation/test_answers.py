import torch

from exporters.student.architectures import Architecture, build
from pipeline.data.loading import Batch
from pipeline.evaluation.answers import Answers, ask, joined
from pipeline.models.tapped import TappedNetwork
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.settings import EdgeView, FlipView
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weighting import uniform_weighting

SPECS = {"edge": EdgeView(), "flip": FlipView()}


def answered(sizes: list[int], tower: bool) -> tuple[Answers, torch.Tensor]:
    torch.manual_seed(0)
    visual = TappedNetwork(build(Architecture("resnet8", "cifar"), 4), (0.5,) * 3, (0.25,) * 3, 16)
    drawn = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (sum(sizes), 3, 16, 16), generator=drawn, dtype=torch.uint8)
    labels = torch.randint(0, 4, (sum(sizes),), generator=drawn)
    batches = [Batch(*part) for part in zip(images.split(sizes), labels.split(sizes), labels.split(sizes), strict=True)]
    embed = (lambda views: views.mean(dim=(2, 3))) if tower else None
    teacher = MultiViewTeacher(visual, Views(SPECS), uniform_weighting, 1.0, embed)
    return joined(ask(teacher, batches, torch.device("cpu"))), images.float() / 255


def test_answers_are_those_of_the_teachers_in_each_view() -> None:
    found, images = answered([5, 3], tower=True)
    assert found.names == ("rgb", "edge", "flip") and found.logits.shape == (3, 8, 4) and len(found.labels) == 8
    assert found.embeddings is not None
    torch.testing.assert_close(found.embeddings, Views(SPECS)(images).mean(dim=(3, 4)))
    whole, _ = answered([8], tower=True)
    torch.testing.assert_close(found.logits, whole.logits)
    assert torch.equal(found.labels, whole.labels)


def test_some_views_are_selected_in_the_order_asked_for() -> None:
    found, _ = answered([4], tower=False)
    shown = found.select(("flip", "rgb"))
    assert shown.names == ("flip", "rgb") and shown.embeddings is None and shown.labels is found.labels
    assert torch.equal(shown.logits, found.logits[[2, 0]])
