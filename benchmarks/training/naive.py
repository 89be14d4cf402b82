"""TMKD as one would write it from its equations, in a single loop and without a thought of speed."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.training.plain_loop import make_sgd
from benchmarks.training.subjects import Subjects
from pipeline.distill.settings import DistillSettings
from pipeline.models.tapped import TappedNetwork
from pipeline.tmkd.contrast import ContrastHead


def steps(subjects: Subjects, settings: DistillSettings) -> Callable[[], list[float]]:
    """A piece of work: all batches, view by view; gives the total loss of each.

    Weights of the losses are those of the settings, as factors. The head of the contrast is initialised as ours is.
    """
    student, teacher, clip = subjects.student().train(), subjects.teacher(), subjects.clip
    texts, anchors = subjects.texts(3), _centred(subjects.texts(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = ContrastHead(student.shape.channels, anchors.shape[1])
    optimizer = make_sgd(student, head)
    losses, temperature = settings.losses, float(settings.weighting.temperature)
    pool = losses.feature.pool

    def work() -> list[float]:
        totals = []
        for pixels, labels in zip(subjects.images, subjects.labels, strict=True):
            images = pixels.float() / 255
            rows = torch.arange(len(labels))
            scores, maps, logits = [], [], []
            with torch.no_grad():
                for view, shown in enumerate((images, edge(images), high_frequency(images))):
                    seen = teacher(shown)
                    similarity = clip.encode_image(shown) @ texts[view].T / clip.temperature
                    by_text = similarity.log_softmax(1)[rows, labels]
                    by_teacher = seen.logits.log_softmax(1)[rows, labels]
                    scores.append(by_text + by_teacher)
                    maps.append(seen.feature_map)
                    logits.append(seen.logits)
                weights = (torch.stack(scores, 1) / temperature).softmax(1)
                fused_map = sum(weights[:, v, None, None, None] * maps[v] for v in range(3))
                fused_logits = sum(weights[:, v, None] * logits[v] for v in range(3))
            output = student(images)
            ce = F.cross_entropy(output.logits, labels)
            heat = losses.logits.temperature
            kd = heat**2 * F.kl_div(
                F.log_softmax(output.logits / heat, 1), F.softmax(fused_logits / heat, 1), reduction="batchmean"
            )
            theirs = _class_maps(teacher, fused_map, pool)
            cat = F.mse_loss(_class_maps(student, output.feature_map, pool), theirs)
            contrast = _contrast(head(output.pooled), anchors, labels, losses.contrast.temperature)
            total = (
                losses.ce.weight * ce
                + losses.logits.weight * kd
                + losses.feature.weight * cat
                + losses.contrast.weight * contrast
            )
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            totals.append(total.item())
        return totals

    return work


def edge(images: Tensor) -> Tensor:
    """Sobel edges of the luma by two convolutions, added to the image with λ = .25."""
    luma = (images * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    kernels = torch.stack([across, across.T])[:, None]
    gradients = F.conv2d(F.pad(luma, (1, 1, 1, 1), mode="reflect"), kernels)
    magnitude = gradients.square().sum(1, keepdim=True).sqrt()
    magnitude = magnitude / magnitude.amax((1, 2, 3), keepdim=True).clamp(min=1e-5)
    return (images + 0.25 * magnitude).clamp(0, 1)


def high_frequency(images: Tensor) -> Tensor:
    """All frequencies above a quarter of Nyquist, by the full transform, added with λ = .5."""
    frequencies = torch.fft.fftfreq(images.shape[-1], d=0.5)
    above = (frequencies[:, None].square() + frequencies[None, :].square()).sqrt() > 0.25
    return (images + 0.5 * torch.fft.ifft2(torch.fft.fft2(images) * above).real).clamp(0, 1)


def _class_maps(network: TappedNetwork, feature_map: Tensor, pool: int) -> Tensor:
    """Class activation maps, each of length 1, `[B, K, pool · pool]`."""
    weight, _ = network.classifier
    maps = F.conv2d(feature_map, weight[:, :, None, None])
    return F.normalize(F.adaptive_avg_pool2d(maps, pool).flatten(2), dim=2)


def _centred(texts: Tensor) -> Tensor:
    return F.normalize(texts - texts.mean(0), dim=1)


def _contrast(embeddings: Tensor, anchors: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """InfoNCE to the classes' anchors in both directions; one class after the other in the second."""
    scores = F.normalize(embeddings, dim=1) @ anchors.T / temperature
    to_text = F.cross_entropy(scores, labels)
    by_image = scores.log_softmax(0)
    to_images = torch.stack([-by_image[labels == k, k].mean() for k in labels.unique()]).mean()
    return (to_text + to_images) / 2
