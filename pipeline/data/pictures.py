"""Training images that are decoded on the GPU (`data.decode: gpu`): read by a worker, decoded and cut on the device."""

import io
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from exporters.core.errors import UnavailableError
from pipeline.data.augmentation import Augmentation
from pipeline.data.device_cutting import cut_on_device
from pipeline.data.draws import Draws

_EXIF_ORIENTATION = 0x0112


class Pictures(NamedTuple):
    """Images that are not cut yet: JPEG files as they are, and all others decoded.

    Attributes:
        content: uint8 `[T]`, files and pixels one after the other; in one piece, since each tensor that a worker hands
            over takes a file descriptor.
        ends: int64 `[n]`, where each ends.
        encoded: bool `[n]`, which are files.
        sizes: int64 `[n, 2]`, widths and heights.
        names: of the images, for messages.
    """

    content: Tensor
    ends: np.ndarray
    encoded: np.ndarray
    sizes: np.ndarray
    names: list[str]

    @classmethod
    def of(cls, images: Sequence[bytes | Image.Image], sizes: np.ndarray, names: list[str]) -> "Pictures":
        """Of JPEG files, and of decoded images, mode RGB."""
        parts = [image if isinstance(image, bytes) else image.tobytes() for image in images]
        content = np.frombuffer(bytearray(b"".join(parts)), dtype=np.uint8)
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        encoded = np.array([isinstance(image, bytes) for image in images], dtype=bool)
        return cls(torch.from_numpy(content), ends, encoded, sizes.astype(np.int64), names)

    def squares(self, draws: Draws, augmentation: Augmentation, device: torch.device) -> Tensor:
        """Decoded and cut: uint8 `[n, S, S, 3]` on the device.

        Raises:
            UnavailableError: an image is broken, which is named; or nothing can be decoded on this device.
        """
        size = augmentation.geometry.size
        if not len(self.names):
            return torch.empty((0, size, size, 3), dtype=torch.uint8, device=device)
        lines = torch.cat(self._decoded(device))
        starts = np.concatenate([[0], self.sizes.prod(axis=1).cumsum()[:-1]])
        return cut_on_device(lines, starts, self.sizes, draws, augmentation)

    def _decoded(self, device: torch.device) -> list[Tensor]:
        """uint8 `[H·W, 3]` of each image, on the device."""
        parts = list(torch.tensor_split(self.content, torch.from_numpy(self.ends[:-1])))
        files = [part for part, encoded in zip(parts, self.encoded, strict=True) if encoded]
        decoded = iter(self._decode(files, device))
        found = []
        for part, encoded, (width, height), name in zip(
            parts, self.encoded, self.sizes.tolist(), self.names, strict=True
        ):
            pixels = next(decoded).permute(1, 2, 0) if encoded else part.view(height, width, 3).to(device)
            if pixels.shape[:2] != (height, width):
                raise UnavailableError(f"{name}: the GPU decodes it to {tuple(pixels.shape[1::-1])}", remedy=_REMEDY)
            found.append(pixels.reshape(-1, 3))
        return found

    def _decode(self, files: list[Tensor], device: torch.device) -> list[Tensor]:
        if not files:
            return []
        try:
            return _decode_jpeg(files, device)
        except RuntimeError as error:
            names = [name for name, encoded in zip(self.names, self.encoded, strict=True) if encoded]
            for name, file in zip(names, files, strict=True):
                try:
                    _decode_jpeg([file], device)
                except RuntimeError as own:
                    reason = str(own).splitlines()[0]
                    raise UnavailableError(f"{name}: cannot be decoded on {device}: {reason}", remedy=_REMEDY) from own
            reason = str(error).splitlines()[0]
            raise UnavailableError(f"JPEG files cannot be decoded on {device}: {reason}", remedy=_REMEDY) from error


def _decode_jpeg(files: list[Tensor], device: torch.device) -> list[Tensor]:
    from torchvision.io import ImageReadMode, decode_jpeg

    with warnings.catch_warnings():  # that it will move to another package
        warnings.simplefilter("ignore", DeprecationWarning)
        return decode_jpeg(files, mode=ImageReadMode.RGB, device=device)


_REMEDY = "Use --set data.decode=cpu"


def is_plain_jpeg(data: bytes, size: tuple[int, int]) -> bool:
    """Whether a file is a JPEG that needs nothing but decoding: grey or colour, upright and of this size."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
            return image.format == "JPEG" and image.mode in ("L", "RGB") and image.size == size and orientation == 1
    except Exception:  # whatever it is, the CPU's decoder says it better
        return False
