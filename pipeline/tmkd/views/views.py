"""All views of a recipe: TMKD (arXiv 2603.24208), our reconstruction, lines 1 and 2, and kinds of our own.

Images are in [0, 1] and already augmented, so that all views and the student see the same crop. Every view runs on the
images' device, is differentiable almost everywhere, and computes in fp32 whatever autocast says.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from exporters.core.files import sha256_bytes
from pipeline.tmkd.views.blur import blur_view
from pipeline.tmkd.views.edge import edge_view
from pipeline.tmkd.views.flip import flip_view
from pipeline.tmkd.views.grey import grey_view
from pipeline.tmkd.views.high_frequency import high_frequency_view
from pipeline.tmkd.views.settings import ViewSettings
from pipeline.tmkd.views.zoom import zoom_view

_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "edge": edge_view,
    "high_frequency": high_frequency_view,
    "flip": flip_view,
    "zoom": zoom_view,
    "grey": grey_view,
    "blur": blur_view,
}
"""Kind → images `[B, 3, H, W]` and the settings of the kind → the view, of the same shape."""

_UNDO: dict[str, Callable[..., Tensor]] = {"flip": flip_view}
"""Kinds that move what is in the image → what brings a map of the view, `[B, C, h, w]`, back to the image's places."""


class Views:
    """The views of a recipe, rgb first, made in one call.

    Args:
        settings: view name → its settings, in order; empty: rgb alone.

    Attributes:
        names: `("rgb", …)`, the order of the first axis of all that is per view.
        kinds: name → kind, `{"rgb": "rgb", …}`, in the same order.
        identities: for each view what it is, whatever it is called: equal settings, equal identity.
    """

    def __init__(self, settings: Mapping[str, ViewSettings]) -> None:
        self.kinds = {"rgb": "rgb"} | {name: view.kind for name, view in settings.items()}
        self.names = tuple(self.kinds)
        self.identities = ("rgb", *map(_identity, settings.values()))
        self._functions = [partial(_FUNCTIONS[view.kind], settings=view) for view in settings.values()]
        self._undo = {
            number: partial(_UNDO[view.kind], settings=view)
            for number, view in enumerate(settings.values(), start=1)
            if view.kind in _UNDO
        }

    def __len__(self) -> int:
        return len(self.names)

    def __call__(self, images: Tensor) -> Tensor:
        """All views of a batch.

        Args:
            images: `[B, 3, H, W]` in [0, 1], any floating dtype.

        Returns:
            `[V, B, 3, H, W]` in [0, 1], dtype and device of `images`; the first is `images` itself.
        """
        return torch.stack([images, *(function(images) for function in self._functions)])

    def aligned(self, maps: Tensor) -> Tensor:
        """Feature maps of the views with every place where it is in the image: those of a mirrored view mirrored back.

        A zoomed view's map stays as it is, since it has nothing of the image's border.

        Args:
            maps: `[V, B, C, h, w]`.

        Returns:
            The same shape and dtype; `maps` itself where no view moves anything.
        """
        if not self._undo:
            return maps
        return torch.stack([self._undo[v](view) if v in self._undo else view for v, view in enumerate(maps)])


def _identity(view: ViewSettings) -> str:
    arguments = view.model_dump(exclude={"kind"})
    return f"{view.kind}-{sha256_bytes(json.dumps(arguments, sort_keys=True).encode())[:8]}"
