import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.distill.methods.reviewkd import AttentionFusion, KnowledgeReview
from pipeline.models.outputs import NetworkShape
from tests.pipeline.distill.networks import labels_of, loss_settings, network_output, shape_of
from tests.pipeline.distill.reference import pool, to_one_size

SETTINGS = loss_settings(ce={"weight": 0.0}, feature={"weight": 2.0})
Weights = dict[str, np.ndarray]
sides = st.tuples(st.integers(1, 4), st.integers(1, 4))


def convolve(maps: np.ndarray, weights: Weights, layer: str) -> np.ndarray:
    """`[B, C, h, w]` through a layer of side 1 or 3, with zeros around."""
    kernel, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
    margin = kernel.shape[-1] // 2
    padded = np.pad(maps, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    height, width = maps.shape[2:]
    result = np.zeros((len(maps), len(kernel), height, width)) + bias[:, None, None]
    for i in range(kernel.shape[2]):
        for j in range(kernel.shape[3]):
            window = padded[:, :, i : i + height, j : j + width]
            result += np.einsum("kc,bchw->bkhw", kernel[:, :, i, j], window)
    return result


def enlarge(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = np.arange(height) * maps.shape[2] // height
    columns = np.arange(width) * maps.shape[3] // width
    return maps[:, :, rows][:, :, :, columns]


def context_loss(ours: np.ndarray, theirs: np.ndarray) -> float:
    ours, theirs = to_one_size(ours, theirs)
    terms, shares = [((ours - theirs) ** 2).mean()], [1.0]
    for side, share in ((4, 0.5), (2, 0.25), (1, 0.125)):
        if side < min(ours.shape[2:]):
            terms.append(((pool(ours, side, side) - pool(theirs, side, side)) ** 2).mean())
            shares.append(share)
    return float(np.dot(terms, shares) / sum(shares))


def reference(weights: list[Weights], ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Both from deep to shallow."""
    total, deeper = 0.0, None
    for layers, student, teacher in zip(weights, ours, theirs, strict=False):
        reviewed = convolve(student, layers, "reduce")
        if deeper is not None:
            deeper = enlarge(deeper, *reviewed.shape[2:])
            shares = 1 / (1 + np.exp(-convolve(np.concatenate([reviewed, deeper], axis=1), layers, "attention")))
            reviewed = shares[:, :1] * reviewed + shares[:, 1:] * deeper
        deeper = reviewed
        total += context_loss(convolve(reviewed, layers, "expand"), teacher)
    return total


@given(seed=st.integers(0, 1000), images=st.integers(1, 2), ours=sides, theirs=sides, dropped=st.sampled_from([0, 1]))
@settings(deadline=None, max_examples=20)
def test_it_is_the_review_of_all_stages(
    seed: int, images: int, ours: tuple[int, int], theirs: tuple[int, int], dropped: int
) -> None:
    student = network_output(seed, images, 3, 4, ours, dtype=torch.float64)
    teacher = network_output(seed + 1, images, 3, 6, theirs, dtype=torch.float64)
    teacher = teacher._replace(stage_maps=teacher.stage_maps[dropped:])  # the deepest belong together
    torch.manual_seed(seed)
    method = KnowledgeReview(SETTINGS, shape_of(student), shape_of(teacher)).double()
    assert len(method.fusions) == 3 - dropped
    weights = [{key: value.numpy() for key, value in fusion.state_dict().items()} for fusion in method.fusions]
    maps = [[stage.numpy() for stage in reversed(output.stage_maps)] for output in (student, teacher)]
    losses = method(student, teacher, labels_of(seed, images, 3), 0.5)
    assert losses["feature"].item() == pytest.approx(reference(weights, *maps), rel=1e-9)


def test_every_layer_learns_and_so_do_all_stages_of_the_student() -> None:
    torch.manual_seed(0)
    student, teacher = network_output(0, 4, 3, 4, learns=True), network_output(1, 4, 3, 6)
    method = KnowledgeReview(SETTINGS, shape_of(student), shape_of(teacher))
    method(student, teacher, labels_of(0, 4, 3), 1.0)["feature"].backward()
    for tensor in (*method.parameters(), *student.stage_maps):
        assert tensor.grad is not None
        assert tensor.grad.abs().max() > 0


def test_the_review_is_as_wide_as_the_student_s_deepest_stage_and_512_at_most() -> None:
    for channels, width in ((64, 64), (1280, 512)):
        stages = ((8, 16, 16), (8, 8, 8), (channels, 4, 4))
        shape = NetworkShape(5, channels, (4, 4), has_cam=True, stages=stages)
        deepest, shallow, _ = KnowledgeReview(SETTINGS, shape, shape).fusions
        assert deepest.reduce.out_channels == shallow.reduce.out_channels == width
        assert deepest.attention is None
        assert shallow.attention.in_channels == 2 * width
        assert (deepest.expand.out_channels, shallow.expand.out_channels) == (channels, 8)


def test_zero_attention_ignores_the_deeper_stage() -> None:
    fusion = AttentionFusion(2, 3, 4, deepest=False)
    with torch.no_grad():
        fusion.attention.weight.zero_()
        fusion.attention.bias.copy_(torch.tensor([100.0, -100.0]))
        stage_map = torch.randn(2, 2, 4, 4)
        matched, handed = fusion(stage_map, torch.randn(2, 3, 2, 2))
        torch.testing.assert_close(handed, fusion.reduce(stage_map))
        torch.testing.assert_close(matched, fusion.expand(handed))


def test_stage_without_deeper_ones_is_reviewed_alone() -> None:
    stage_map = torch.randn(2, 2, 4, 4)
    for fusion, deeper in (
        (AttentionFusion(2, 3, 4, deepest=True), torch.randn(2, 3, 2, 2)),
        (AttentionFusion(2, 3, 4, deepest=False), None),
    ):
        matched, handed = fusion(stage_map, deeper)
        assert torch.equal(handed, fusion.reduce(stage_map)) and torch.equal(matched, fusion.expand(handed))


def test_maps_in_half_precision_are_reviewed_in_full() -> None:
    fusion, stage_map = AttentionFusion(2, 3, 4, deepest=True), torch.randn(2, 2, 4, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        matched, handed = fusion(stage_map, None)
    assert matched.dtype == handed.dtype == torch.float32
    assert torch.equal(handed, fusion.reduce(stage_map.float()))


def test_nets_without_stages_are_refused() -> None:
    tokens = NetworkShape(5, 4, None, has_cam=False)
    with pytest.raises(
        UsageError, match=r"^distill: reviewkd compares the maps of stages, and the student and the teacher have"
    ):
        KnowledgeReview(SETTINGS, tokens, tokens)
    with pytest.raises(UsageError, match=r"^distill.method: reviewkd needs a visual teacher"):
        KnowledgeReview(SETTINGS, tokens, None)
