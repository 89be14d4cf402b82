"""The settings of a training: epochs, optimizer, learning rate and its schedule."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.settings import Settings, problem
from pipeline.training.settings.schedule import ScheduleSettings

NormMomentum = Literal["auto", "network"] | Annotated[float, Field(gt=0, le=1)]
"""`auto`: each batch norm's own momentum, raised where new ones train for short; `network`: its own; or a number."""


class FitSettings(Settings):
    """A training schedule."""

    epochs: int = Field(default=60, ge=1, le=100_000, description="Passes over the training split.")
    batch_size: int = Field(default=64, ge=1, le=65_536, description="Images a batch, over all devices.")
    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="The optimizer.")
    lr: float = Field(default=0.01, gt=0, le=100, description="Highest learning rate.")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="optimizer: sgd only.")
    nesterov: bool = Field(default=False, description="optimizer: sgd only: Nesterov's momentum.")
    weight_decay: float = Field(default=5e-4, ge=0, le=10, description="Weight decay.")
    decay_norms_and_biases: bool | None = Field(
        default=None,
        description="Whether weight decay also holds for norms, biases and scales such as CLIP's logit_scale; "
        "null: with sgd, not with adamw.",
    )
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings, description="The learning rate over time.")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Of the cross-entropy.")
    gradient_clip: float | None = Field(
        default=None, gt=0, description="Largest L2 norm of the gradient; null: no limit."
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Decay of the exponential moving average of the weights, which is then what is validated and ships;"
        " null: no average.",
    )
    early_stop: int | None = Field(
        default=None,
        ge=1,
        description="Epochs without a better validation score after which training ends; null: never.",
    )
    on_nan: Literal["fail", "skip_batch"] = Field(
        default="fail",
        description="What a loss that is not finite does: end the training, or leave its batch out.",
    )
    max_skipped_batches: int = Field(
        default=10,
        ge=1,
        le=1_000_000,
        description="on_nan: skip_batch only: batches that may be left out in the whole training.",
    )
    auto_batch: bool = Field(
        default=False,
        description="Whether batches that do not fit into the device's memory are divided into pieces, whose gradients"
        " are added up: as many images a step as before.",
    )

    @property
    def skips_batches(self) -> bool:
        """Whether a batch whose loss is not finite is left out."""
        return self.on_nan == "skip_batch"

    @property
    def batches_per_update(self) -> int:
        """Batches whose gradients are added up for one step of the optimizer."""
        return 1

    @property
    def images_per_update(self) -> int:
        """Images whose gradients make one step of the optimizer."""
        return self.batches_per_update * self.batch_size

    @property
    def compiles(self) -> bool:
        """Whether the network is compiled."""
        return False

    @property
    def replays_graphs(self) -> bool:
        """Whether compiled passes are replayed as CUDA graphs."""
        return False

    @property
    def peak_lr(self) -> float:
        """The highest learning rate, as the optimizer gets it."""
        return self.lr

    @property
    def synchronises_batch_norms(self) -> bool:
        """Whether batch norms see the images of all processes."""
        return False

    @property
    def norm_momentum(self) -> NormMomentum:
        """The momentum of batch norms."""
        return "network"

    @property
    def body_starts(self) -> int:
        """Epochs in which the head is trained alone, before the whole network is."""
        return 0

    @property
    def rate_factors(self) -> tuple[float, float]:
        """Of the learning rate: of the head, and of each layer group against the one above it; 1 and 1: all alike."""
        return 1.0, 1.0

    @property
    def decays_norms_and_biases(self) -> bool:
        """`decay_norms_and_biases`, or its default: published SGD schedules decay every parameter, AdamW's do not."""
        given = self.decay_norms_and_biases
        return self.optimizer == "sgd" if given is None else given

    @model_validator(mode="after")
    def _schedule_fits_the_epochs(self) -> Self:
        late = [milestone for milestone in self.schedule.milestones if milestone >= self.epochs]
        if late:
            raise problem(
                "schedule.milestones",
                f"expected epochs before the end of @epochs ({self.epochs}), got {late}; change both together",
                "epochs",
            )
        return self

    @model_validator(mode="after")
    def _warmup_fits_the_epochs(self) -> Self:
        if self.schedule.warmup >= self.epochs:
            raise problem(
                "schedule.warmup",
                f"expected fewer epochs than @epochs ({self.epochs}), got {self.schedule.warmup:g}",
                "epochs",
            )
        return self

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise problem("nesterov", "expected false where @momentum is 0, got true", "momentum")
        return self
