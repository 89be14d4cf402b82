"""The losses that distillation methods share. All compute in fp32 whatever autocast says."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.distributed.collectives import averaged, process_count
from pipeline.tmkd.precision import full_precision, widen


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
    mixed: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Mean cross-entropy, weighted by the classes' weights where there are any.

    Args:
        logits: `[B, K]`.
        labels: `[B]` int64.
        label_smoothing: in [0, 1).
        class_weights: `[K]`; None: all 1.
        mixed: second labels `[B]` int64, and the share of `labels` `[B]` in [0, 1], the rest being that of the second
            (Zhang et al. 2018); None: no second labels.

    Returns:
        0-d fp32 (float64 for float64).
    """
    with full_precision(logits):
        scores = widen(logits)
        weights = None if class_weights is None else class_weights.to(scores)
        if mixed is None:
            loss = F.cross_entropy(scores, labels, weights, label_smoothing=label_smoothing)
            return loss if weights is None else loss * _share_of_batch(weights[labels].sum())
        total = norm = scores.new_zeros(())
        second, share = mixed
        for targets, part in ((labels, share.to(scores)), (second, 1 - share.to(scores))):
            losses = F.cross_entropy(scores, targets, weights, reduction="none", label_smoothing=label_smoothing)
            total = total + (part * losses).sum()
            norm = norm + (part if weights is None else part * weights[targets]).sum()
        return total / averaged(norm)


def _share_of_batch(norm: Tensor) -> Tensor | float:
    """The factor of a mean that was divided by `norm` of this process's images, and not by that of the whole batch."""
    return 1.0 if process_count() == 1 else norm / averaged(norm)


def kl_logits(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """`T²·KL(softmax(z_t/T) ‖ softmax(z_s/T))`, mean over the batch (Hinton et al. 2015, arXiv 1503.02531).

    TMKD (arXiv 2603.24208), our reconstruction, line 10, when the teacher's logits are the fused ones.

    Args:
        student_logits: `[B, K]`.
        teacher_logits: `[B, K]`.
        temperature: T above 0.

    Returns:
        0-d fp32 (float64 for float64), 0 for equal logits.
    """
    with full_precision(student_logits):
        student = (widen(student_logits) / temperature).log_softmax(dim=-1)
        teacher = (widen(teacher_logits) / temperature).log_softmax(dim=-1)
        return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def class_activation_maps(feature_map: Tensor, classifier_weight: Tensor) -> Tensor:
    """The classifier as a bias-free 1×1 convolution on the last feature map (Zhou et al. 2016; Guo et al. 2023).

    Args:
        feature_map: `[B, C, h, w]`.
        classifier_weight: `[K, C]`.

    Returns:
        `[B, K, h, w]` fp32; its mean over the map plus the bias is the logits.
    """
    with full_precision(feature_map):
        # Not a convolution: a GPU would round that to TF32.
        return torch.einsum("kc,bchw->bkhw", widen(classifier_weight), widen(feature_map))


def class_attention_loss(
    student_map: Tensor,
    student_weight: Tensor,
    teacher_map: Tensor,
    teacher_weight: Tensor,
    *,
    pool: int,
    normalise: bool,
) -> Tensor:
    """Mean squared error of pooled class activation maps (CAT-KD, Guo et al. 2023).

    TMKD (arXiv 2603.24208), our reconstruction, line 9, when the teacher's map is the fused one.

    Args:
        student_map: `[B, C_s, h_s, w_s]`.
        student_weight: `[K, C_s]`, the student's classifier.
        teacher_map: `[B, C_t, h_t, w_t]`, of any size.
        teacher_weight: `[K, C_t]`.
        pool: side r of the maps that are compared.
        normalise: whether each class map is scaled to length 1 first.

    Returns:
        0-d fp32 (float64 for float64).
    """

    def maps(feature_map: Tensor, weight: Tensor) -> Tensor:
        # Pooling and the 1×1 convolution commute; in this order no K maps of full size are made.
        pooled = class_activation_maps(F.adaptive_avg_pool2d(widen(feature_map), pool), weight).flatten(2)
        return F.normalize(pooled, dim=-1) if normalise else pooled

    with full_precision(student_map):
        return F.mse_loss(maps(student_map, student_weight), maps(teacher_map, teacher_weight))


def mean_squared_error_of_maps(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of two maps (FitNets, Romero et al. 2015, arXiv 1412.6550, eq. 3, as a mean).

    Args:
        student: `[B, C, h, w]`.
        teacher: `[B, C, h', w']`; what is larger is average-pooled to the other's size.

    Returns:
        0-d fp32 (float64 for float64).
    """
    with full_precision(student):
        return F.mse_loss(*_of_one_size(widen(student), widen(teacher)))


def hierarchical_context_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared errors of two maps at full size and pooled to 4×4, 2×2 and 1×1 (HCL, Chen et al. 2021, ReviewKD).

    They count 1, 1/2, 1/4 and 1/8, divided by the sum; a pooled size that is not smaller than the map is left out.

    Args:
        student: `[B, C, h, w]`.
        teacher: `[B, C, h', w']`; what is larger is average-pooled to the other's size first.

    Returns:
        0-d fp32 (float64 for float64).
    """
    with full_precision(student):
        student, teacher = _of_one_size(widen(student), widen(teacher))
        total, weights = F.mse_loss(student, teacher), 1.0
        for side, weight in ((4, 1 / 2), (2, 1 / 4), (1, 1 / 8)):
            if side < min(student.shape[2:]):
                # Pooling is linear: the difference is pooled once, in place of both maps.
                total = total + weight * F.adaptive_avg_pool2d(student - teacher, side).square().mean()
                weights += weight
        return total / weights


def _of_one_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    height, width = (min(sides) for sides in zip(student.shape[2:], teacher.shape[2:], strict=True))
    student, teacher = (
        x if x.shape[2:] == (height, width) else F.adaptive_avg_pool2d(x, (height, width)) for x in (student, teacher)
    )
    return student, teacher


def standardise(logits: Tensor) -> Tensor:
    """Z-scores of each sample's logits over the classes (Sun et al. 2024, arXiv 2403.01427, eq. 10).

    `[B, K]` → `[B, K]` fp32, mean 0 and population deviation 1; where the logits' own deviation is below 1e-3 they are
    divided by that instead, so that a row of equal logits gives 0 and no gradient that outweighs all others.
    """
    with full_precision(logits):
        logits = widen(logits)
        centred = logits - logits.mean(dim=-1, keepdim=True)
        return centred * centred.square().mean(dim=-1, keepdim=True).clamp(min=1e-6).rsqrt()


def decoupled_parts(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """The two parts of KD, per image and without T² (DKD, Zhao et al. 2022, arXiv 2203.08679, eq. 5 to 7).

    `KL = TCKD + (1 - p_t)·NCKD`, with `p_t` the teacher's probability of the class at temperature T.

    Args:
        student_logits: `[B, K]`, K at least 3.
        teacher_logits: `[B, K]`.
        labels: `[B]` int64 in [0, K).
        temperature: T above 0.

    Returns:
        `tckd [B]`, the KL of (class, all others), and `nckd [B]`, the KL among the others; fp32.
    """
    with full_precision(student_logits):
        order = torch.arange(student_logits.shape[1] - 1, device=labels.device)
        others = order + (order >= labels[:, None])  # [B, K - 1], all classes but the image's own

        def split(logits: Tensor) -> tuple[Tensor, Tensor]:
            logits = widen(logits) / temperature
            rest = logits.gather(1, others)
            # log(1 - p) as a log-sum-exp: the difference itself would lose all digits where p is close to 1.
            pair = torch.stack([logits.gather(1, labels[:, None]).squeeze(1), rest.logsumexp(dim=1)], dim=1)
            return pair.log_softmax(dim=1), rest.log_softmax(dim=1)

        student_pair, student_rest = split(student_logits)
        teacher_pair, teacher_rest = split(teacher_logits)
        tckd = F.kl_div(student_pair, teacher_pair, reduction="none", log_target=True).sum(dim=1)
        nckd = F.kl_div(student_rest, teacher_rest, reduction="none", log_target=True).sum(dim=1)
        return tckd, nckd


def representation_contrast(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Contrast of student and teacher embeddings of the same image, with the batch's other classes as negatives.

    The positive pair and the negatives ("any other class") are those of CRD (Tian et al. 2020, arXiv 1910.10699); the
    estimator is InfoNCE over the batch instead of noise-contrastive estimation against a memory bank. Student against
    teachers and teacher against students are added, as there.

    Args:
        student: `[B, D]`; normalised here.
        teacher: `[B, D]`; normalised here.
        labels: `[B]` int64.
        temperature: τ above 0.

    Returns:
        0-d fp32 (float64 for float64); 0 for a batch of one class.
    """
    with full_precision(student):
        scores = F.normalize(widen(student), dim=-1) @ F.normalize(widen(teacher), dim=-1).T / temperature
        same = labels[:, None] == labels[None, :]
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        scores = scores.masked_fill(same & ~itself, -torch.inf)
        return -(scores.log_softmax(dim=1).diagonal().mean() + scores.log_softmax(dim=0).diagonal().mean())
