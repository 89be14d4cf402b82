"""The section `train` of a recipe."""

from typing import Literal

from pydantic import Field

from pipeline.training.settings import CheckpointSettings, NetworkFitSettings


class TrainSettings(NetworkFitSettings):
    """The schedule of the student."""

    epochs: int = Field(default=240, ge=1, le=100_000, description="Epochs over the training split.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="Precision of all training, the teachers' too; auto: bf16 on CUDA where it is fast, else fp32.",
    )
    checkpoint: CheckpointSettings = Field(
        default_factory=CheckpointSettings, description="How often the state of each training is saved."
    )
