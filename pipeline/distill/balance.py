"""Loss balancing: weights of distillation losses as shares of the cross-entropy's pull on the student's features."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.distributed.collectives import process_count, summed
from pipeline.models.outputs import NetworkOutput

TERMS = ("logits", "feature", "contrast")
"""The losses that are scaled."""

SMALLEST_SCALE, LARGEST_SCALE = 1e-4, 1e4
DENSE_STEPS, INTERVAL = 16, 8
"""Gradients are measured in each of the first steps that train the body, then in every eighth."""
MOMENTUM = 0.9


class LossBalance(nn.Module):
    """Scales each distillation loss so that it pulls on the student's features as hard as the cross-entropy does.

    `s_i = mean‖∂CE/∂F‖ / mean‖∂L_i/∂F‖`, a constant for the optimizer, between 1e-4 and 1e4. A weight in front of
    `s_i·L_i` is then a share: .5 pulls half as hard as the cross-entropy with weight 1, whatever the loss, its units,
    its temperature or the pair of nets. Gradients are those of the whole batch before any weight, their norms L2.

    `F` are the student's last features (`NetworkOutput.last_features`). A loss that does not follow from them, such as
    FitNet's hint in the middle of the net, is compared at the deepest stage map from which both it and the
    cross-entropy follow; where all of these are frozen, at the logits. A loss without any such place keeps scale 1, as
    does one without gradient.

    The means are exponential, over measured steps. They begin at zero, which cancels in the ratio, so that no bias
    correction is needed. Measuring goes back through the loss and the classifier only, not through the network. What
    is not finite (fp16) is not counted. Of several processes each measures its part of the batch; the norms are those
    of the whole, and all have the same scales.
    Means and step count are part of the state, so that a resumed training goes on alike.
    """

    norms: Tensor  # [len(TERMS), 2]: of the cross-entropy and of the loss, at the place where the two are compared

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("norms", torch.zeros(len(TERMS), 2))
        self._steps = 0  # on the CPU, because it decides what is computed

    def get_extra_state(self) -> Tensor:
        """The number of steps so far, 0-d int64."""
        return torch.tensor(self._steps)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the number of steps."""
        self._steps = int(state)

    def forward(self, cross_entropy: Tensor, terms: Mapping[str, Tensor], student: NetworkOutput) -> dict[str, Tensor]:
        """The scale of each loss, after measuring where this step is to be measured.

        Args:
            cross_entropy: 0-d, not weighted, with gradient.
            terms: 0-d losses by name, of `TERMS`, not weighted, with gradient.
            student: the output that they were computed from.

        Returns:
            Name → 0-d fp32 without gradient. 1 before anything was measured, such as in eval mode.
        """
        if self.training and torch.is_grad_enabled():
            if self._steps < DENSE_STEPS or self._steps % INTERVAL == 0:
                self._measure(cross_entropy, terms, student)
            if student.last_features.requires_grad:  # what was measured on a frozen body says little of the body
                self._steps += 1
        scales = self._scales()
        return {name: scales[TERMS.index(name)] for name in terms}

    def metrics(self) -> dict[str, float]:
        """The present scales as `scale_<loss>`, of the losses that were measured; waits for the device."""
        measured, scales = (self.norms[:, 1] > 0).tolist(), self._scales().tolist()
        return {f"scale_{name}": scales[row] for row, name in enumerate(TERMS) if measured[row]}

    def _scales(self) -> Tensor:
        reference, own = self.norms.unbind(dim=1)
        bounded = (reference / own).clamp(SMALLEST_SCALE, LARGEST_SCALE)
        return torch.where(own > 0, bounded, torch.ones_like(own))

    def _measure(self, cross_entropy: Tensor, terms: Mapping[str, Tensor], student: NetworkOutput) -> None:
        places = (student.last_features, *reversed(student.stage_maps), student.logits)
        places = tuple(place for place in places if place.requires_grad)
        references: dict[int, Tensor | None] = {}
        rows, found = [], []
        for name, loss in terms.items():
            for position, place in enumerate(places):
                norm = gradient_norm(loss, place)
                if norm is not None and position not in references:
                    references[position] = gradient_norm(cross_entropy, place)
                if norm is not None and (reference := references[position]) is not None:
                    rows.append(TERMS.index(name))
                    found.append(torch.stack([reference, norm]))
                    break
        if rows:
            self._remember(rows, _of_whole_batch(torch.stack(found)))

    @torch.no_grad()
    def _remember(self, rows: list[int], measured: Tensor) -> None:
        """Count `[len(rows), 2]` norms of a step; a row that is not finite is left out."""
        before = self.norms[rows]
        after = MOMENTUM * before + (1 - MOMENTUM) * measured.to(before)
        self.norms[rows] = torch.where(measured.isfinite().all(dim=1, keepdim=True), after, before)


def gradient_norm(loss: Tensor, place: Tensor) -> Tensor | None:
    """The L2 norm of `∂loss/∂place`, 0-d fp32 without gradient; None where the loss does not follow from `place`.

    Args:
        loss: 0-d.
        place: `[B, C]` or `[B, C, h, w]`, of any precision, with gradient.
    """
    if not loss.requires_grad:
        return None
    # A mean over images and positions has gradients that fp16 could not hold.
    factor = 2.0 ** math.floor(math.log2(place.numel() / place.shape[1]))
    (gradient,) = torch.autograd.grad(loss * factor, place, retain_graph=True, allow_unused=True)
    return None if gradient is None else torch.linalg.vector_norm(gradient, dtype=torch.float32) / factor


def _of_whole_batch(norms: Tensor) -> Tensor:
    """The norms of the gradient of the whole batch's mean, from those of each process's part."""
    return norms if process_count() == 1 else summed(norms.square()).sqrt() / process_count()
