"""The section `lock` of a recipe: what `recipe.lock.yaml` says of the run that wrote it."""

from pydantic import Field

from pipeline.recipe.schema.weights import Sha256
from pipeline.settings import NonEmpty, Settings


class LockSettings(Settings):
    """The data and the machine of a run, which a run of its `recipe.lock.yaml` is held against."""

    data: Sha256 | None = Field(
        default=None, description="Fingerprint of the images, as data/index.json has it; other images end the run."
    )
    threads: int | None = Field(
        default=None, ge=1, le=4096, description="Threads of PyTorch on the CPU, of which a repeated run takes as many."
    )
    device: NonEmpty | None = Field(default=None, description="What was computed on; another one is named.")
    processor: NonEmpty | None = Field(default=None, description="The processor; another one is named.")
    python: NonEmpty | None = Field(default=None, description="Version of Python; another one is named.")
    packages: dict[NonEmpty, NonEmpty] = Field(
        default_factory=dict, description="Versions of the libraries; each that is another is named."
    )
