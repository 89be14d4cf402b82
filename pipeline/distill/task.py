"""What is trained under a distillation method: the student, with whatever the method learns besides it."""

from collections.abc import Callable

from torch import Tensor, nn

from pipeline.distill.methods.base import Method
from pipeline.models.outputs import NetworkOutput
from pipeline.models.tapped import TappedNetwork
from pipeline.randomness import Samples


class DistillationTask(nn.Module):
    """Student and method in one module, so that a distributed wrapper sees all parameters and no teacher.

    Plain training, of a teacher as well, is the same with the method `ce` and no teacher.

    Args:
        student: the network that is trained.
        method: its losses, with the projections they need.
    """

    def __init__(self, student: TappedNetwork, method: Method) -> None:
        super().__init__()
        self.student = student
        self.method = method

    def forward(
        self,
        images: Tensor,
        labels: Tensor,
        guidance: NetworkOutput | None,
        ramp: float,
        samples: Samples | None = None,
    ) -> dict[str, Tensor]:
        """The weighted losses of a batch by name.

        Args:
            images: `[B, 3, S, S]`, float in `[0, 1]`.
            labels: `[B]`, int64.
            guidance: the teacher's output on the same images, without gradient; None without a teacher.
            ramp: warm-up factor in [0, 1] (line 12).
            samples: which training images these are, for methods that remember images.
        """
        return self.method(self.student(images), guidance, labels, ramp, samples)

    def metrics(self) -> dict[str, float]:
        """Figures of the method for `metrics.jsonl`, taken at the end of an epoch: the scales of its losses."""
        return {} if self.method.balance is None else self.method.balance.metrics()

    def classifier(self) -> Callable[[Tensor], Tensor]:
        """Function of plain images `[B, 3, S, S]` to the student's logits `[B, K]`."""
        return lambda images: self.student(images).logits

    def layers(self) -> list[list[nn.Parameter]]:
        """The student's parameters but those of its classifier, in groups from its first layers to its last."""
        return self.student.layers()
