"""Networks asked about some test images: logits, features, and where they look."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, device

from exporters.images.overlay import scaled
from pipeline.distill.losses import class_activation_maps
from pipeline.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupted_batches
from pipeline.tmkd.fusion import fuse_output
from pipeline.training.step import images_to_device

if TYPE_CHECKING:
    from pipeline.data.loading import Batch
    from pipeline.models.outputs import NetworkOutput
    from pipeline.stages.shared.inputs import Data
    from pipeline.tmkd.teacher import MultiViewTeacher
    from pipeline.tmkd.views.views import Views

_BATCH = 32


def ask(
    network: "Callable[[Tensor], NetworkOutput]", data: "Data", indices: np.ndarray, on: device
) -> tuple[np.ndarray, np.ndarray]:
    """Logits `[M, K]` and pooled features `[M, C]` of test images, float32.

    Args:
        network: on the device, in eval mode.
        data: of the run.
        indices: int64 `[M]`, positions in the test split.
        on: the device.
    """
    logits, features = [], []
    with torch.no_grad():
        for images in _batches(data, indices, on):
            output = network(images)
            logits.append(output.logits.float().cpu().numpy())
            features.append(output.pooled.float().cpu().numpy())
    return np.concatenate(logits), np.concatenate(features)


def ask_teacher(
    teacher: "MultiViewTeacher", data: "Data", indices: np.ndarray, on: device
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `ask`, of the teacher's views fused without labels, and the weights of the views `[M, V]`."""
    logits, features, weights = [], [], []
    with torch.no_grad():
        for images in _batches(data, indices, on):
            viewed = teacher.look(images)
            weight = teacher.weigh_label_free(viewed)
            output = fuse_output(weight, viewed.output._replace(feature_map=None, stage_maps=()))
            logits.append(output.logits.float().cpu().numpy())
            features.append(output.pooled.float().cpu().numpy())
            weights.append(weight.float().cpu().numpy())
    return np.concatenate(logits), np.concatenate(features), np.concatenate(weights)


def activation_maps(network: "Callable[[Tensor], NetworkOutput]", images: Tensor) -> np.ndarray | None:
    """The class activation map of a network's answer to each image, scaled to [0, 1]: float32 `[S, h, w]`.

    `M_k(x, y) = Σ_c w_kc · f_c(x, y)` for the answer k (Zhou et al. 2016, arXiv 1512.04150), less its least value and
    over its largest. None for a network whose classifier is not one linear layer on its pooled map.
    """
    with torch.no_grad():
        output = network(images)
        if output.feature_map is None or output.classifier_weight is None:
            return None
        every = class_activation_maps(output.feature_map.float(), output.classifier_weight.float())
    answers = output.logits.argmax(dim=1)
    return scaled(every[torch.arange(len(images), device=every.device), answers].cpu().numpy())


def accuracy_on_corrupted(
    networks: "Mapping[str, Callable[[Tensor], NetworkOutput]]", data: "Data", indices: np.ndarray, on: device
) -> dict[str, dict[str, dict[str, float]]]:
    """Top-1 on test images as they are and corrupted: network → kind → severity, as text → accuracy.

    The kind `clean` has severity 0 alone.

    Args:
        networks: on the device, in eval mode.
        data: of the run.
        indices: int64 `[M]`, positions in the test split.
        on: the device.
    """
    levels = [("clean", 0), *((kind, severity) for kind in CORRUPTIONS for severity in SEVERITIES)]
    right = {name: dict.fromkeys(levels, 0) for name in networks}
    for batch in data.loader.evaluation_batches("test", data.geometry, _BATCH, indices=indices):
        for kind, severity in levels:
            altered = batch if kind == "clean" else next(corrupted_batches([batch], kind, severity))
            images = images_to_device(altered.images, on)
            with torch.no_grad():
                for name, network in networks.items():
                    answers = network(images).logits.argmax(dim=1).cpu()
                    right[name][kind, severity] += int((answers == batch.labels).sum())
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in networks}
    for name, counts in right.items():
        for (kind, severity), count in counts.items():
            found[name].setdefault(kind, {})[str(severity)] = count / len(indices)
    return found


def images_of(data: "Data", indices: np.ndarray, on: device) -> tuple[np.ndarray, Tensor]:
    """Test images as the networks see them: uint8 `[S, H, W, 3]`, and float32 `[S, 3, H, W]` in [0, 1] on a device."""
    images = torch.cat(list(_batches(data, indices, on)))
    return _pixels(images), images


def view_pictures(views: "Views", images: Tensor) -> np.ndarray:
    """The views of images `[S, 3, H, W]`: uint8 `[S, V, H, W, 3]`."""
    return _pixels(views(images).transpose(0, 1))


def _batches(data: "Data", indices: np.ndarray, on: device) -> Iterator[Tensor]:
    batches: Iterator[Batch] = data.loader.evaluation_batches("test", data.geometry, _BATCH, indices=indices)
    for batch in batches:
        yield images_to_device(batch.images, on)


def _pixels(images: Tensor) -> np.ndarray:
    """`[…, 3, H, W]` in [0, 1] as uint8 `[…, H, W, 3]`."""
    pixels: np.ndarray = images.mul(255).round().to(torch.uint8).movedim(-3, -1).cpu().numpy()
    return pixels
