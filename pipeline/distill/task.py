"""The trainable whole: a student and what its method learns beside it, in one module."""

from torch import Tensor, nn

from pipeline.distill.memory import Samples
from pipeline.distill.methods.base import Method
from pipeline.models.outputs import NetworkOutput
from pipeline.models.tapped import TappedNetwork


class DistillationTask(nn.Module):
    """Student and method together, so that a distributed wrapper sees all parameters and no teacher.

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
        teacher: NetworkOutput | None,
        ramp: float,
        samples: Samples | None = None,
    ) -> dict[str, Tensor]:
        """The weighted losses of a batch by name.

        Args:
            images: `[B, 3, S, S]`, float in `[0, 1]`.
            labels: `[B]`, int64.
            teacher: the teacher's output on the same images, without gradient.
            ramp: warm-up factor in [0, 1] (line 12).
            samples: which training images these are, for methods that remember images.
        """
        return self.method(self.student(images), teacher, labels, ramp, samples)


def warmup_ramp(passes: float, warmup: int) -> float:
    """The factor of β and γ after so many passes: linear up to 1 at `warmup` passes (line 12)."""
    return 1.0 if warmup == 0 else min(1.0, passes / warmup)
