"""The settings of a training: epochs, optimizer, learning rate and its schedule."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, model_validator

from pipeline.settings import Settings, problem


class ScheduleSettings(Settings):
    """How the learning rate changes over the epochs."""

    kind: Literal["cosine", "milestones", "one_cycle", "constant"] = Field(
        default="cosine", description="Given milestones imply `milestones`."
    )
    milestones: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Strict(False)] = Field(
        default=(), description="kind: milestones only: epochs after which the learning rate is multiplied by gamma."
    )
    gamma: float = Field(default=0.1, gt=0, lt=1, description="kind: milestones only: the factor.")
    warmup: float = Field(
        default=0.0,
        ge=0,
        description="Epochs over which the learning rate first rises linearly; one_cycle has a rise of its own.",
    )

    @model_validator(mode="before")
    @classmethod
    def _milestones_imply_the_kind(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("milestones") and "kind" not in value:
            return {**value, "kind": "milestones"}
        return value

    @model_validator(mode="after")
    def _warmup_fits_the_kind(self) -> Self:
        if self.kind == "one_cycle" and self.warmup > 0:
            raise problem("warmup", f"expected 0 for @kind one_cycle, which has its own, got {self.warmup:g}", "kind")
        return self

    @model_validator(mode="after")
    def _milestones_fit_the_kind(self) -> Self:
        if self.kind == "milestones" and not self.milestones:
            raise problem("milestones", "expected at least one epoch for @kind milestones, got none", "kind")
        if self.kind != "milestones" and self.milestones:
            raise problem("milestones", f"expected none for @kind {self.kind}, got {list(self.milestones)}", "kind")
        if any(later <= earlier for earlier, later in zip(self.milestones, self.milestones[1:], strict=False)):
            raise problem("milestones", f"expected epochs in rising order, got {list(self.milestones)}")
        return self


class FitSettings(Settings):
    """A training schedule."""

    epochs: int = Field(default=60, ge=1, le=100_000, description="Passes over the training split.")
    batch_size: int = Field(default=64, ge=1, le=65_536, description="Images per step, over all devices.")
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
    early_stop: int | None = Field(
        default=None,
        ge=1,
        description="Epochs without a better validation score after which training ends; null: never.",
    )

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
