"""What every stage reads of the ones before it: the data, and JSON files."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporters.core.files import read_json
from exporters.images.preprocessing import Geometry
from pipeline.data.index import DataIndex
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.networks import image_geometry

if TYPE_CHECKING:
    from pipeline.data.augmentation import Augmentation
    from pipeline.data.loading import Loader

TRAINING_LIBRARIES = ("torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow")

IMAGE_KEYS = ("data.image_size", "data.resize", "data.interpolation")


@dataclass(frozen=True)
class Data:
    """The data of a run, ready to be read.

    Attributes:
        index: what is in which split.
        loader: gives batches.
        geometry: resize and crop, of evaluation and of the student that will ship.
    """

    index: DataIndex
    loader: "Loader"
    geometry: Geometry

    def augmentation(self, recipe: Recipe, seed: int) -> "Augmentation":
        """The training augmentation under a seed."""
        from pipeline.data.augmentation import Augmentation

        return Augmentation(recipe.data.augment, self.geometry, seed)


def read_data(context: StageContext) -> Data:
    """The index of the stage `data`, with a loader."""
    from pipeline.data.loading import Loader

    settings = context.recipe.data
    index = DataIndex.load(context.run.folder("data"))
    loader = Loader(index, index.root, settings.workers, decode=settings.decode)
    return Data(index, loader, image_geometry(context.recipe))


def read_json_output(context: StageContext, stage: str, name: str) -> dict:
    """A JSON file of an earlier stage."""
    return read_json(context.run.folder(stage) / name)
