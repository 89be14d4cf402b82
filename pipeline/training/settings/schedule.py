"""The settings of a learning rate over the epochs."""

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
