"""The section `track` of a recipe."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from pipeline.settings import NonEmpty, Settings, unexpected

TrackerName = Literal["tensorboard", "mlflow", "wandb"]
TrackedFile = Literal["recipe", "report", "model", "bundle"]

Label = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A name as people write it, without control characters."""


def _named_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise unexpected("each name once", ())
    return names


class MlflowSettings(Settings):
    """Where MLflow keeps what it is sent."""

    uri: NonEmpty | None = Field(
        default=None,
        description="Server or database, such as http://127.0.0.1:5000; null: MLFLOW_TRACKING_URI where that is set, "
        "else a database in `track.directory`.",
    )


class WandbSettings(Settings):
    """Whether Weights & Biases is sent anything, and for whom."""

    mode: Literal["offline", "online"] | None = Field(
        default=None, description="offline writes files alone; null: WANDB_MODE where that is set, else offline."
    )
    entity: Label | None = Field(default=None, description="User or team; null: the account's own.")


class TrackSettings(Settings):
    """Trackers that are sent the figures of a run beside `metrics.jsonl`; of no effect on what the run makes."""

    to: Annotated[list[TrackerName], AfterValidator(_named_once)] = Field(
        default_factory=list, description="Trackers; empty: none."
    )
    project: Label | None = Field(
        default=None, description="Experiment of MLflow and project at Weights & Biases; null: the recipe's name."
    )
    name: Label | None = Field(default=None, description="What the run is called; null: as its directory.")
    group: Label | None = Field(
        default=None, description="Runs that belong together; null: none, and in a comparison its directory's name."
    )
    directory: NonEmpty | None = Field(
        default=None,
        description="Folder of the trackers' files; null: `tracking` in the run directory, and in a comparison in its.",
    )
    artifacts: Annotated[list[TrackedFile], AfterValidator(_named_once)] = Field(
        default_factory=list,
        description="Files that MLflow and Weights & Biases are given at the end: recipe.lock.yaml, report.html, "
        "model.onnx and bundle.tar.",
    )
    mlflow: MlflowSettings = Field(default_factory=MlflowSettings, description="MLflow.")
    wandb: WandbSettings = Field(default_factory=WandbSettings, description="Weights & Biases.")
