"""The settings of `distill.method: auto`."""

from typing import Annotated, Self

from pydantic import Field, Strict, model_validator

from pipeline.distill.race.candidates import candidate_names
from pipeline.settings import Settings, one_of, problem

_Name = Annotated[str, one_of(candidate_names()), Field(json_schema_extra={"enum": [*candidate_names()]})]


class AutoSettings(Settings):
    """The race in which `method: auto` chooses: successive halving on the validation split."""

    candidates: Annotated[tuple[_Name, ...], Strict(False), Field(min_length=1)] | None = Field(
        default=None,
        description="method: auto only: what races, such as kd or tmkd on kd; ce always does. null: every base that"
        " the networks allow and a teacher cache serves, and tmkd on distill.base, kd and dkd.",
    )
    rungs: int = Field(
        default=2,
        ge=1,
        le=5,
        description="method: auto only: rounds, each with reduction times the epochs of the last.",
    )
    reduction: int = Field(
        default=3,
        ge=2,
        le=10,
        description="method: auto only: the factor between the epochs of two rounds, the last of which has"
        " train.epochs over it; one candidate in so many goes on, two at least.",
    )

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        names = self.candidates or ()
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise problem("candidates", f"expected each candidate once, got {', '.join(repeated)} twice")
        return self
