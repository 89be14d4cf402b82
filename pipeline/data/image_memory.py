"""Decoded images kept in memory, on any device, and squares cut out of many of them at once."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from torch import Tensor

_CACHED_PIXELS = 2**17
"""As many as the cache of a core holds, with black pixels around them."""


class ImageMemory:
    """uint8 pixels of images of any sizes, one after the other.

    Args:
        sizes: `[N, 2]`, widths and heights.
        device: where the pixels are.
    """

    def __init__(self, sizes: np.ndarray, device: torch.device) -> None:
        self.device = device
        self._sizes = torch.from_numpy(sizes.astype(np.int64))
        ends = self._sizes.prod(dim=1).cumsum(dim=0)
        self._starts = torch.cat([torch.zeros(1, dtype=torch.int64), ends])
        first = tuple(sizes[0].tolist()) if len(sizes) and (sizes == sizes[0]).all() else None
        self._shape = None if first is None else (first[1], first[0])
        self._held = np.zeros(len(sizes), dtype=bool)
        self._pixels = torch.empty((int(self._starts[-1]) + 1, 3), dtype=torch.uint8, device=device)
        self._pixels[-1] = 0  # what is outside of every image
        # torch gathers twice as fast by int32
        self._dtype = torch.int32 if len(self._pixels) < 2**31 else torch.int64

    @property
    def bytes(self) -> int:
        """How many the pixels take."""
        return self._pixels.numel()

    def missing(self, positions: np.ndarray) -> list[int]:
        """Which of some images are not held yet."""
        return positions[~self._held[positions]].tolist()

    def put(self, position: int, image: Image.Image) -> None:
        """Hold an image, mode RGB and of its announced size."""
        start, end = self._starts[position : position + 2].tolist()
        pixels = np.frombuffer(bytearray(image.tobytes()), dtype=np.uint8).reshape(-1, 3)
        self._pixels[start:end] = torch.from_numpy(pixels).to(self.device)
        self._held[position] = True

    def images(self, positions: np.ndarray) -> list[Image.Image]:
        """Some images; from the CPU's memory only."""
        pixels, rows = self._pixels.numpy(), torch.from_numpy(positions)
        places = zip(self._starts[rows].tolist(), self._sizes[rows].tolist(), strict=True)
        return [
            Image.frombytes("RGB", (width, height), pixels[start : start + width * height].data)
            for start, (width, height) in places
        ]

    def lines(self, positions: np.ndarray) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """All pixels `[T, 3]`, and of some images where each begins `[B]`, and widths and heights `[B, 2]`."""
        return self._pixels, self._starts.numpy()[positions], self._sizes.numpy()[positions]

    def squares(self, positions: np.ndarray, corners: np.ndarray, mirrored: np.ndarray, size: int) -> Tensor:
        """Squares of images, black where they reach outside: uint8 `[B, size, size, 3]` on the device.

        Args:
            positions: int64 `[B]`; each image is held.
            corners: int64 `[B, 2]`, left and top of each square.
            mirrored: bool `[B]`, left to right.
            size: of each side, pixels.
        """
        if self.device.type == "cpu" and self._shape is not None:
            return torch.from_numpy(self._windows(self._shape, positions, corners, mirrored, size))
        return self._gathered(positions, corners, mirrored, size)

    def _windows(
        self, shape: tuple[int, int], positions: np.ndarray, corners: np.ndarray, mirrored: np.ndarray, size: int
    ) -> np.ndarray:
        """`squares` of images that all have one shape: several times as fast on a CPU as pixel by pixel."""
        (height, width), some = shape, max(1, min(len(positions), _CACHED_PIXELS // size**2))
        stored = framed = self._pixels[:-1].numpy().reshape(-1, height, 3 * width)
        outside = np.concatenate([-corners, corners + size - np.array([width, height])])
        margin = max(0, int(outside.max(initial=0)))
        if margin:
            framed = np.zeros((some, height + 2 * margin, 3 * (width + 2 * margin)), dtype=np.uint8)
        inner = framed[:, margin : margin + height, 3 * margin : 3 * (margin + width)]
        # By image, and line and column of a corner: the lines of a square, each with its pixels one after the other.
        windows = sliding_window_view(framed, (size, 3 * size), axis=(1, 2))[:, :, ::3]
        squares = np.empty((len(positions), size, 3 * size), dtype=np.uint8)
        left, top = (corners + margin).T
        for start in range(0, len(positions), some):
            part = slice(start, start + some)
            rows = positions[part]
            if margin:
                inner[: len(rows)] = stored[rows]
                rows = np.arange(len(rows))
            straight, turned = np.flatnonzero(~mirrored[part]), np.flatnonzero(mirrored[part])
            places = rows, top[part], left[part]
            squares[part][straight] = windows[tuple(each[straight] for each in places)]
            # From its last line to its first, all pixels of a square are turned at once, ten times as fast as by lines.
            lines = torch.from_numpy(windows[:, :, :, ::-1][tuple(each[turned] for each in places)])
            squares[part][turned] = lines.view(-1, size**2, 3).flip(1).view(-1, size, 3 * size).numpy()
        return squares.reshape(-1, size, size, 3)

    def _gathered(self, positions: np.ndarray, corners: np.ndarray, mirrored: np.ndarray, size: int) -> Tensor:
        """`squares` of images of any shapes, on any device."""
        rows = torch.from_numpy(positions)
        corner, size_of, along = torch.from_numpy(corners), self._sizes[rows], torch.arange(size)
        x = torch.where(torch.from_numpy(mirrored)[:, None], size - 1 - along, along) + corner[:, :1]
        y = corner[:, 1:] + along
        # [B, size] each on the CPU, and only their combination [B, size, size] on the device.
        inside = [(place >= 0) & (place < size_of[:, i : i + 1]) for i, place in enumerate((x, y))]
        lines = self._starts[rows][:, None] + y * size_of[:, :1]
        x, lines = (place.to(self.device, self._dtype) for place in (x, lines))
        pixels = lines[:, :, None] + x[:, None, :]
        if not all(bool(part.all()) for part in inside):
            across, down = (part.to(self.device) for part in inside)
            outside = torch.tensor(len(self._pixels) - 1, dtype=self._dtype, device=self.device)
            pixels = torch.where(down[:, :, None] & across[:, None, :], pixels, outside)
        return self._pixels.index_select(0, pixels.view(-1)).view(-1, size, size, 3)


def pixels_of(sizes: np.ndarray | Sequence[Sequence[int]]) -> int:
    """How many pixels images of some sizes `[N, 2]` have together."""
    return int(np.asarray(sizes, dtype=np.int64).prod(axis=1).sum())
