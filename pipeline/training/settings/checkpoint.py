"""The settings of checkpoints."""

from pydantic import Field

from pipeline.settings import Settings


class CheckpointSettings(Settings):
    """How often the state of a training is saved; of no effect on what is trained."""

    every_minutes: float | None = Field(
        default=10.0,
        ge=0,
        le=1440,
        description="Minutes between two checkpoints within an epoch, 0: one after each step; null: only after each"
        " epoch, as in any case.",
    )
    keep: int = Field(
        default=2, ge=1, le=100, description="Newest checkpoints that are kept, for where the last one is damaged."
    )

    @property
    def every_seconds(self) -> float | None:
        """`every_minutes`, in seconds."""
        return None if self.every_minutes is None else 60 * self.every_minutes
