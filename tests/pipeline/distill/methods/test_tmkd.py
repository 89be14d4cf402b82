"""TMKD as a plug-in: every switch falls back to what it should."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distill.build import build_method
from pipeline.distill.loss_settings import resolve_losses
from pipeline.distill.losses import cross_entropy, kl_logits
from pipeline.distill.memory import TrainingSplit
from pipeline.distill.methods.base import Method
from pipeline.distill.methods.cat_kd import ClassAttentionTransfer
from pipeline.distill.methods.tmkd import Tmkd
from pipeline.distill.registry import METHODS, base_methods, load_method
from pipeline.distill.settings import DistillSettings
from pipeline.models.outputs import NetworkOutput
from pipeline.randomness import Samples
from pipeline.tmkd.contrast import centre_anchors, image_text_contrast
from pipeline.tmkd.fusion import fuse_output, split_views
from pipeline.tmkd.weighting import teacher_confidence_scores, view_weights
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of

CONTRAST_OFF = {"weight": 0.0}


def build(
    student: NetworkOutput, teacher: NetworkOutput, anchors: torch.Tensor | None = None, **values: object
) -> Method:
    torch.manual_seed(0)  # crd has embeddings of its own
    distill = DistillSettings.model_validate({"balance": "none", **values})
    return build_method(distill, shape_of(student), shape_of(teacher), anchors)


def total(losses: dict[str, torch.Tensor]) -> float:
    return torch.stack(list(losses.values())).sum().item()


shapes = st.tuples(st.integers(1, 4), st.integers(3, 6), st.integers(1, 4))  # images, classes, views
dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])


@pytest.mark.parametrize("base", base_methods())
@given(seed=st.integers(0, 1000), shape=shapes, dtype=dtypes, ramp=st.sampled_from([0.0, 0.3, 1.0]))
@settings(deadline=None, max_examples=12)
def test_all_weight_on_rgb_and_no_contrast_give_the_base_and_line_10(
    base: str, seed: int, shape: tuple[int, int, int], dtype: torch.dtype, ramp: float
) -> None:
    images, classes, views = shape
    student = network_output(seed, images, classes, 4, dtype=dtype)
    several = split_views(network_output(seed + 1, views * images, classes, 6, (2, 3), dtype=dtype), views)
    weights = torch.zeros(images, views)
    weights[:, 0] = 1
    fused = fuse_output(weights, several)
    assert several.feature_map is not None
    rgb = NetworkOutput(
        several.logits[0],
        several.pooled[0],
        several.feature_map[0],
        several.classifier_weight,
        several.classifier_bias,
        tuple(maps[0] for maps in several.stage_maps),
    )
    labels = labels_of(seed, images, classes)
    plugged = build(student, rgb, method="tmkd", base=base, contrast=CONTRAST_OFF)(student, fused, labels, ramp)
    expected = build(student, rgb, method=base)(student, rgb, labels, ramp)
    if "logits" not in METHODS[base].losses:
        expected["logits"] = 0.9 * kl_logits(student.logits, rgb.logits, 4.0)
    assert plugged.keys() == expected.keys()
    for name, loss in plugged.items():
        assert loss.item() == pytest.approx(expected[name].item(), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("base", base_methods())
@given(seed=st.integers(0, 1000), shape=shapes, dtype=dtypes)
@settings(deadline=None, max_examples=10)
def test_views_rgb_alone_and_no_added_weight_give_the_base(
    base: str, seed: int, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    images, classes, _ = shape
    student = network_output(seed, images, classes, 4, dtype=dtype)
    teacher = network_output(seed + 1, images, classes, 6, dtype=dtype)
    labels = labels_of(seed, images, classes)
    fused = fuse_output(
        view_weights(teacher_confidence_scores(teacher.logits[None], labels), 0.1), split_views(teacher, 1)
    )
    added = {} if "logits" in METHODS[base].losses else {"logits": {"weight": 0.0}}
    plugged = build(student, teacher, method="tmkd", base=base, contrast=CONTRAST_OFF, **added)
    alone = build(student, teacher, method=base)
    ours, theirs = plugged(student, fused, labels, 0.7), alone(student, teacher, labels, 0.7)
    assert ours.keys() == theirs.keys()
    assert total(ours) == pytest.approx(total(theirs), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("base", base_methods())
@given(seed=st.integers(0, 1000), shape=shapes, dtype=dtypes)
@settings(deadline=None, max_examples=10)
def test_views_that_are_all_rgb_change_nothing(
    base: str, seed: int, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    """λ_e = λ_h = 0: any weights fuse to the rgb teacher."""
    images, classes, views = shape
    student = network_output(seed, images, classes, 4, dtype=dtype)
    teacher = network_output(seed + 1, images, classes, 6, dtype=dtype)
    labels = labels_of(seed, images, classes)
    stacked = [x.repeat(views, *[1] * (x.dim() - 1)) for x in (teacher.logits, teacher.pooled, teacher.feature_map)]  # type: ignore[union-attr]
    stages = tuple(maps.repeat(views, 1, 1, 1) for maps in teacher.stage_maps)
    same = NetworkOutput(*stacked, teacher.classifier_weight, teacher.classifier_bias, stages)
    scores = torch.randn(images, views, generator=torch.Generator().manual_seed(seed))
    fused = fuse_output(view_weights(scores, 1.0), split_views(same, views))
    method = build(student, teacher, method="tmkd", base=base, contrast=CONTRAST_OFF)
    assert total(method(student, fused, labels, 1.0)) == pytest.approx(
        total(method(student, teacher, labels, 1.0)), rel=1e-5, abs=1e-6
    )


@pytest.mark.parametrize("base", base_methods())
def test_cross_entropy_weight_alone_gives_plain_training(base: str) -> None:
    student, teacher = network_output(0, 3, 4, 5), network_output(1, 3, 4, 5)
    labels = labels_of(0, 3, 4)
    zero = {"weight": 0.0}
    losses = build(
        student, teacher, method="tmkd", base=base, ce={"weight": 1.0}, feature=zero, logits=zero, contrast=zero
    )(student, teacher, labels, 1.0)
    plain = build(student, teacher, method="ce")(student, None, labels, 1.0)
    assert list(losses) == ["ce"]
    assert losses["ce"].item() == plain["ce"].item()


@pytest.mark.parametrize("base", base_methods())
@pytest.mark.parametrize("ramp", [0.0, 0.25, 1.0])
def test_the_contrast_is_line_11_on_the_student_s_pooled_features(base: str, ramp: float) -> None:
    student, teacher = network_output(0, 5, 4, 3), network_output(1, 5, 4, 6)
    labels, anchors = labels_of(0, 5, 4), torch.randn(4, 7, generator=torch.Generator().manual_seed(3))
    contrast = {"weight": 0.6, "temperature": 0.2}
    method = build(student, teacher, anchors, method="tmkd", base=base, contrast=contrast)
    assert isinstance(method, Tmkd)
    losses = method(student, teacher, labels, ramp)
    expected = image_text_contrast(method.head(student.pooled), centre_anchors(anchors, centre=True), labels, 0.2)
    assert losses["contrast"].item() == pytest.approx(0.6 * ramp * expected.item(), rel=1e-5)


def test_centring_is_a_switch_and_anchors_do_not_travel_in_checkpoints() -> None:
    student = network_output(0, 5, 4, 3)
    anchors = torch.randn(4, 7)
    for centre in (True, False):
        contrast = {"weight": 0.6, "centre": centre}
        method = build(student, student, anchors, method="tmkd", contrast=contrast)
        assert torch.equal(method.anchors, centre_anchors(anchors, centre))
        assert list(method.state_dict()) == ["head.projection.weight", "head.projection.bias"]


@pytest.mark.parametrize("base", [name for name in base_methods() if "feature" not in METHODS[name].losses])
def test_weighted_feature_loss_extends_a_logits_base(base: str) -> None:
    student, teacher = network_output(0, 3, 4, 5), network_output(1, 3, 4, 6, (7, 7))
    labels = labels_of(0, 3, 4)
    feature = {"weight": 5.0, "pool": 3, "normalise": False}
    losses = build(student, teacher, method="tmkd", base=base, feature=feature, contrast=CONTRAST_OFF)(
        student, teacher, labels, 0.5
    )
    settings_ = loss_settings(ce={"weight": 1.0}, feature={"weight": 5.0, "pool": 3, "normalise": False})
    cat = ClassAttentionTransfer(settings_, shape_of(student), shape_of(teacher))
    expected = cat(student, teacher, labels, 0.5)["feature"]
    assert losses["feature"].item() == pytest.approx(expected.item(), rel=1e-6)


def refused(base: str, **values: object) -> UsageError:
    output = network_output(0, 2, 3, 4)
    distill = DistillSettings.model_validate({"method": "tmkd", "base": base, "contrast": CONTRAST_OFF, **values})
    with pytest.raises(UsageError) as caught:
        build_method(distill, shape_of(output, has_cam=False), shape_of(output), None)
    assert caught.value.exit_code == 2
    return caught.value


def test_nets_without_class_activation_maps_are_refused_where_line_9_needs_them() -> None:
    assert "the student has none" in str(refused("cat_kd"))
    error = refused("kd", feature={"weight": 1.0})
    assert error.message.startswith("distill.feature.weight: the feature loss compares class activation maps")
    assert error.remedy is not None
    working = "kd, dkd, logit_std, dist, mlld, crd, rkd, sp, at, fitnet, reviewkd"
    assert f": {working} (" in error.remedy
    output = network_output(0, 2, 3, 4)
    for base in working.split(", "):  # the bases that the message names do work
        distill = DistillSettings.model_validate({"method": "tmkd", "base": base, "contrast": CONTRAST_OFF})
        shape = shape_of(output, has_cam=False)
        build_method(distill, shape, shape, None)(output, output, labels_of(0, 2, 3), 1.0)


@pytest.mark.parametrize(("anchors", "found"), [(None, 0), (torch.randn(5, 7), 5)])
def test_a_contrast_needs_an_anchor_of_each_class(anchors: torch.Tensor | None, found: int) -> None:
    output = network_output(0, 2, 3, 4)
    with pytest.raises(
        UsageError, match=rf"distill\.contrast\.weight: expected text anchors of 3 classes, got {found}\n"
    ):
        build(output, output, anchors, method="tmkd", contrast={"weight": 0.8})


def test_a_contrast_needs_pooled_features_of_the_student() -> None:
    output = network_output(0, 2, 3, 4)
    without = dataclasses.replace(shape_of(output), has_classifier=False)
    settings_ = loss_settings(ce={"weight": 1.0}, contrast={"weight": 0.8})
    base = load_method("kd")(settings_, without, shape_of(output))
    with pytest.raises(UsageError, match=r"the contrast needs the student's pooled features"):
        Tmkd(settings_, without, shape_of(output), base=base, anchors=torch.randn(3, 7))


def test_a_feature_loss_needs_a_teacher() -> None:
    shape, settings_ = shape_of(network_output(0, 2, 3, 4)), loss_settings(feature={"weight": 1.0})
    with pytest.raises(UsageError, match=r"^distill.method: tmkd needs a visual teacher"):
        Tmkd(settings_, shape, None, base=load_method("kd")(settings_, shape, shape))


def test_base_is_prepared_and_told_which_images_a_batch_has() -> None:
    student, teacher, labels = network_output(0, 4, 3, 5), network_output(1, 4, 3, 9), labels_of(0, 4, 3)
    off = {"weight": 0.0}
    method = build(student, teacher, method="tmkd", base="crd", feature={"bank": 7}, contrast=off, logits=off)
    assert isinstance(method, Tmkd)
    split = TrainingSplit(np.arange(20) % 3, seed=1)
    method.prepare(split)
    mixed = Samples(torch.tensor([3, 11, 0, 5]), 2, labels.flip(0), torch.tensor([0.5, 1.0, 0.7, 0.9]))
    terms = method.eval().terms(student, teacher, labels, mixed)
    expected = method.base.terms(student, teacher, labels, mixed)
    assert {name: term.item() for name, term in terms.items()} == {name: e.item() for name, e in expected.items()}
    assert terms["ce"].item() != pytest.approx(cross_entropy(student.logits, labels).item())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("base", base_methods())
def test_all_lines_are_finite_in_autocast_and_train_every_part(base: str, dtype: torch.dtype) -> None:
    student = network_output(0, 4, 3, 5, dtype=dtype, learns=True)
    teacher = network_output(1, 4, 3, 6, dtype=dtype)
    losses = resolve_losses(DistillSettings(method="tmkd", base=base, balance="none"))
    method = Tmkd(
        losses,
        shape_of(student),
        shape_of(teacher),
        base=load_method(base)(losses, shape_of(student), shape_of(teacher)),
        anchors=torch.randn(3, 8),
    )
    with torch.autocast("cpu", dtype=dtype):
        values = method(student, teacher, labels_of(0, 4, 3), 1.0)
    assert all(value.dtype == torch.float32 and value.isfinite() for value in values.values())
    torch.stack(list(values.values())).sum().backward()
    for parameter in method.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
