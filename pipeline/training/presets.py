"""Training presets: schedules that suit a network with pretrained weights, and one from scratch.

A preset gives values for the keys of a schedule that the recipe leaves open; see `NetworkFitSettings.chosen`.
"""

import math
import re
from typing import TYPE_CHECKING, Any, Literal

from exporters.core.wording import count_of

if TYPE_CHECKING:
    from pipeline.training.settings import NetworkFitSettings

SCHEDULE_KEYS = frozenset({"optimizer", "lr", "schedule"})
"""Keys that belong together: `auto` leaves a recipe alone that gives one of them, since its learning rate was meant for
the default optimizer, and a schedule for both."""

_LAYER_NORMS = re.compile(
    r"(?:timm:|torchvision:)?(?:vit|deit3?|beit(?:v2)?|eva|swin|swinv2|convnext|convnextv2|cait|xcit|mixer|resmlp|gmlp|hiera)_.+"
)
"""Names of networks that normalise by layers: transformers, and nets of convolutions built like them."""

_BATCH = 64
"""The images a step that the learning rates below are meant for."""


REFERENCE_BATCH = 256
"""The images a step that a recipe's learning rate is meant for where `scale_lr` scales it."""


def preset_values(
    preset: Literal["finetune", "scratch"], epochs: int, images: int, optimizer: str | None, model: str = ""
) -> dict[str, Any]:
    """The values of a preset for a training of so many epochs.

    `finetune`: AdamW with decoupled weight decay (Loshchilov and Hutter 2019) on everything but norms and biases; the
    head alone first, then all under a cosine with a short warm-up; a higher rate for the head; averaged weights.
    Networks with layer norms take a tenth of the rate of those with batch norms, falling from the classifier to the
    first layers (Howard and Ruder 2018; Bao et al. 2022). `scratch`: SGD with Nesterov's momentum under one cycle.

    Learning rates grow with the images of a step: by their square root under AdamW (Malladi et al. 2022), in proportion
    under SGD (Goyal et al. 2017).

    Args:
        preset: which one.
        epochs: of the training.
        images: in a step of the optimizer.
        optimizer: the recipe's, where it gives one; None: the preset's.
        model: the network's name.

    Returns:
        Key → value of `NetworkFitSettings`, without `epochs` and `batch_size`.
    """
    pretrained = preset == "finetune"
    by_layers = _LAYER_NORMS.fullmatch(model) is not None
    optimizer = optimizer or ("adamw" if pretrained else "sgd")
    growth = images / _BATCH
    gentle = 0.1 if pretrained and by_layers else 1.0
    if optimizer == "adamw":
        rate = 1e-3 * gentle * math.sqrt(growth)
        values: dict[str, Any] = {"optimizer": optimizer, "lr": _rounded(rate), "weight_decay": 0.05}
    else:
        rate = (0.01 if pretrained else 0.05) * gentle * growth
        values = {"optimizer": optimizer, "lr": _rounded(min(rate, 1.0)), "weight_decay": 5e-4, "nesterov": True}
    if not pretrained:
        return values | {"schedule": {"kind": "one_cycle"}}
    return values | {
        "decay_norms_and_biases": False,
        "schedule": {"kind": "cosine", "warmup": min(1.0, epochs / 10)},
        "head_epochs": 1 if epochs > 2 else 0,
        "head_lr": 10.0 if by_layers else 5.0,
        "layer_decay": 0.75 if by_layers else 1.0,
        "label_smoothing": 0.05,
        "ema": 0.999,
    }


def _rounded(value: float) -> float:
    """To three significant digits, so that a recipe.lock.yaml can be read."""
    return float(f"{value:.3g}")


def describe_preset(settings: "NetworkFitSettings") -> str:
    """What a preset has made of a training, in one line; the empty text where there is none."""
    if settings.preset in ("auto", "none"):
        return ""
    schedule = settings.schedule
    parts = [f"{settings.optimizer}, lr {settings.lr:g}"]
    if settings.head_lr != 1:
        parts.append(f"{settings.head_lr:g} times that for the classifier")
    if settings.layer_decay != 1:
        parts.append(f"times {settings.layer_decay:g} for each stage below the last")
    if settings.head_epochs:
        parts.append(f"first the classifier alone ({count_of(settings.head_epochs, 'epoch')})")
    warmup = f" after a warm-up of {schedule.warmup:g} epochs" if schedule.warmup else ""
    parts += [f"{schedule.kind} schedule{warmup}", f"weight decay {settings.weight_decay:g}"]
    if settings.label_smoothing:
        parts.append(f"label smoothing {settings.label_smoothing:g}")
    if settings.ema is not None:
        parts.append(f"averaged weights (decay {settings.ema:g})")
    return f"preset {settings.preset}: {', '.join(parts)}"


def describe_scaling(settings: "NetworkFitSettings") -> str:
    """What `scale_lr` has made of the learning rate, in one line; the empty text where it is as it was given."""
    if not settings.scale_lr:
        return ""
    rule = "in proportion" if settings.optimizer == "sgd" else "by the square root"
    return (
        f"learning rate {settings.peak_lr:.4g} for {settings.images_per_update} images a step,"
        f" scaled {rule} from {settings.lr:g} for {REFERENCE_BATCH}"
    )
