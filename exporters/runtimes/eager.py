"""The student in PyTorch: the reference."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from exporters.core.errors import UnavailableError, UsageError
from exporters.runtimes.base import Explained, check_images

if TYPE_CHECKING:
    from torch import Tensor

    from exporters.student.cam import CamLayers
    from exporters.student.student import TrainedStudent


class TorchRuntime:
    """The original PyTorch student: the reference that every exported file is compared with.

    Normalises step by step, image / 255, minus mean, over std, where the exported graph multiplies and adds once.

    Args:
        student: left as it is; a device other than the CPU gets a copy.
        device: as torch names it.

    Raises:
        UnavailableError: no such device here.
    """

    def __init__(self, student: "TrainedStudent", device: str = "cpu") -> None:
        import copy

        import torch

        self._torch = torch
        try:
            self._device = torch.device(device)
            module = student.module if self._device.type == "cpu" else copy.deepcopy(student.module)
            self._module = module.to(self._device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).split("\n")[0]
            raise UnavailableError(f"the device {device!r} cannot be used by torch: {reason}") from error
        if any(part.training for part in module.modules()):
            raise UsageError("the student is in train mode", remedy="Call `module.eval()` first.")
        self._size = student.preprocessing.size
        self._mean = torch.tensor(student.preprocessing.mean, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(student.preprocessing.std, device=self._device).view(1, 3, 1, 1)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See `Runtime.predict`."""
        with self._full_precision():
            return self._numbers(self._logits(images))

    def explain(self, images: np.ndarray) -> Explained:
        """See `Explainer.explain`."""
        from exporters.student.cam import cam_of_answers

        layers = self._cam_layers
        with self._full_precision():
            logits, cam = cam_of_answers(self._module, layers, lambda: self._logits(images))
            return Explained(self._numbers(logits), self._numbers(cam))

    @cached_property
    def _cam_layers(self) -> "CamLayers":
        from exporters.student.cam import find_cam_layers

        return find_cam_layers(self._module, self._size)

    @contextmanager
    def _full_precision(self) -> Iterator[None]:
        """fp32 means fp32: the 10 bits of TF32 would cost more than parity allows."""
        torch = self._torch
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            yield

    def _logits(self, images: np.ndarray) -> "Tensor":
        check_images(images, self._size)
        x = self._torch.from_numpy(np.array(images)).to(self._device).permute(0, 3, 1, 2).float() / 255
        logits: Tensor = self._module((x - self._mean) / self._std)
        return logits

    @staticmethod
    def _numbers(values: "Tensor") -> np.ndarray:
        numbers: np.ndarray = values.float().cpu().numpy()
        return numbers
