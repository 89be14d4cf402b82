"""Frozen networks from one tensor to a tuple of tensors, which is what every runtime can run."""

from torch import Tensor, nn

from pipeline.models.clip import Clip, image_part
from pipeline.models.tapped import TappedNetwork


class Frozen(nn.Module):
    """A network that is never trained.

    Attributes:
        name: for messages.
        section: of the recipe that describes it.
        size: side S of the images that it takes.
        outputs: names of what it gives.
        takes_half: whether half precision serves on a GPU: what it gives is compared with other answers of its own,
            and is not what a student is to reproduce.
    """

    name: str
    section: str
    size: int
    outputs: tuple[str, ...]
    takes_half: bool = False

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Images `[n, 3, S, S]` in `[0, 1]` to one tensor `[n, …]` for each of `outputs`."""
        raise NotImplementedError


class FrozenClassifier(Frozen):
    """A classifier with its taps: logits, pooled features, and maps as far as it has them.

    Args:
        tapped: its stages count where `tap_stages` is set; put into eval mode.
    """

    section = "teacher.visual"

    def __init__(self, tapped: TappedNetwork, name: str = "visual teacher") -> None:
        super().__init__()
        self.tapped = tapped.eval().requires_grad_(False)
        self.name, self.size = name, tapped.image_size
        has_map = tapped.shape.map_size is not None
        stages = range(len(tapped.shape.stages) if tapped.tap_stages else 0)
        self.outputs = ("logits", "pooled", *(("feature_map",) if has_map else ()), *(f"stage{n}" for n in stages))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `Frozen.forward`."""
        output = self.tapped(images)
        maps = () if output.feature_map is None else (output.feature_map,)
        return (output.logits, output.pooled, *maps, *output.stage_maps)


class FrozenTower(Frozen):
    """CLIP's image tower: embeddings of unit length.

    Args:
        clip: put into eval mode; its text tower is not kept.
    """

    section = "teacher.text"
    takes_half = True

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        self.clip = image_part(clip).eval().requires_grad_(False)
        self.name, self.size, self.outputs = "CLIP's image tower", clip.size, ("embedding",)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """See `Frozen.forward`."""
        return (self.clip.encode_image(images),)
