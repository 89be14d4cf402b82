"""The memory of contrastive representation distillation: one embedding of every training image, from each net."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exporters.core.errors import UsageError
from pipeline.randomness import Samples, generator
from pipeline.tmkd.precision import full_precision, widen

_MOMENTUM = 0.5


@dataclass(frozen=True)
class TrainingSplit:
    """What a method may know of all training images before the first of them is seen.

    Attributes:
        labels: `[M]` int64.
        seed: of the negatives.
    """

    labels: np.ndarray
    seed: int


class ContrastMemory(nn.Module):
    """Noise-contrastive estimation against K remembered images of other classes (Tian et al. 2020, arXiv 1910.10699).

    For an embedding `v` of one net and `u` of the other, `P = exp(v·u/τ)/Z` and `h = P/(P + K/M)`; the loss is
    `-log h(positive) - Σ_K log(1 - h(negative))`, from the student's side and from the teacher's. The positive
    is the other net's embedding of the same image in this batch, the negatives come from its memory. `Z` is estimated
    from the first batch and kept (Wu et al. 2018, arXiv 1805.01978). All is computed from logarithms in
    fp32, in which `exp(1/.07)` would not fit fp16.

    Memories and `Z` are buffers and so travel in checkpoints; negatives follow from seed, epoch and image.

    Args:
        training: labels of all images.
        width: D of the embeddings.
        negatives: K.
        temperature: τ.

    Raises:
        UsageError: the training split has one class only.
    """

    student: Tensor
    teacher: Tensor
    log_normaliser: Tensor

    def __init__(self, training: TrainingSplit, width: int, negatives: int, temperature: float) -> None:
        super().__init__()
        labels = np.asarray(training.labels)
        self._labels = labels
        self._by_class = labels.argsort(kind="stable")
        self._counts = np.bincount(labels)
        self._starts = self._counts.cumsum() - self._counts
        if self._counts.max() == len(labels):
            raise UsageError("distill.feature.bank: all training images are of one class, so that none is a negative")
        self._seed = training.seed
        self._negatives = negatives
        self._temperature = temperature
        for name in ("student", "teacher"):
            self.register_buffer(name, F.normalize(torch.randn(len(labels), width), dim=1))
        self.register_buffer("log_normaliser", torch.full((2,), torch.nan))

    def draw(self, samples: Samples) -> Tensor:
        """Negatives `[B, K]` int64, positions in the training split: images of other classes, with replacement."""
        drawn = np.empty((len(samples.indices), self._negatives), dtype=np.int64)
        for row, index in enumerate(samples.indices.tolist()):
            label = self._labels[index]
            own, start = self._counts[label], self._starts[label]
            random = generator(self._seed, "negatives of crd", samples.epoch, index)
            ranks = random.integers(len(self._labels) - own, size=self._negatives)
            drawn[row] = self._by_class[ranks + own * (ranks >= start)]
        return torch.from_numpy(drawn)

    def forward(self, student: Tensor, teacher: Tensor, samples: Samples) -> Tensor:
        """The loss of a batch; while training, its embeddings are remembered.

        Args:
            student: `[B, D]`; normalised here.
            teacher: `[B, D]`; normalised here.
            samples: which images they are of.

        Returns:
            0-d fp32 (float64 for float64), mean over the batch.
        """
        with full_precision(student):
            ours, theirs = (F.normalize(widen(x), dim=1) for x in (student, teacher))
            negatives = self.draw(samples).to(ours.device)
            loss = self._one_side(0, ours, theirs, self.teacher, negatives)
            loss = loss + self._one_side(1, theirs, ours, self.student, negatives)
            if self.training:
                indices = samples.indices.to(ours.device)
                self._remember(self.student, indices, ours)
                self._remember(self.teacher, indices, theirs)
            return loss

    def _one_side(self, side: int, anchor: Tensor, positive: Tensor, memory: Tensor, negatives: Tensor) -> Tensor:
        # Of all images, and then chosen: a table [B, K, D] would be much larger. A copy, because the memory changes
        # before the gradient is computed.
        against = (anchor @ memory.to(anchor.dtype, copy=True).T).gather(1, negatives) / self._temperature
        itself = (anchor * positive).sum(dim=1, keepdim=True) / self._temperature
        images, drawn = len(memory), negatives.shape[1]
        with torch.no_grad():
            scores = torch.cat([itself, against], dim=1)
            estimate = scores.logsumexp(dim=(0, 1)) - np.log(scores.numel()) + np.log(images)
            known = self.log_normaliser[side]
            log_normaliser = torch.where(known.isnan(), estimate.to(known.dtype), known)
            if self.training:
                self.log_normaliser[side] = torch.where(log_normaliser.isfinite(), log_normaliser, known)
        noise = np.log(drawn / images)
        # -log h = softplus(log(K/M) - log P), and -log(1 - h) = softplus(log P - log(K/M)).
        attracts = F.softplus(noise - (itself - log_normaliser)).sum(dim=1)
        repels = F.softplus((against - log_normaliser) - noise).sum(dim=1)
        return (attracts + repels).mean()

    @torch.no_grad()
    def _remember(self, memory: Tensor, indices: Tensor, embeddings: Tensor) -> None:
        before = memory[indices]
        mixed = F.normalize(_MOMENTUM * before + (1 - _MOMENTUM) * embeddings.to(memory.dtype), dim=1)
        # One image that is not finite would spoil the losses of all that it is a negative of.
        memory[indices] = torch.where(mixed.isfinite().all(dim=1, keepdim=True), mixed, before)
