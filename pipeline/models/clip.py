"""The text teacher's model: a CLIP of open_clip by hub tag or local checkpoint, or a small one to be trained here."""

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from exporters.errors import UnavailableError, UsageError


class Clip(nn.Module):
    """Image and text tower with their own input size and normalisation.

    Attributes:
        model: the open_clip model.
        size: side of the square images that the image tower takes.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, model: nn.Module, tokenizer: Any, size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.model = model
        self.size = size
        self._tokenizer = tokenizer
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token numbers `[n, context]`, int64, on the CPU."""
        return self._tokenizer(list(texts))

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Text embeddings `[n, D]`, unit length, float32."""
        return functional.normalize(self.model.encode_text(tokens).float(), dim=-1)  # type: ignore[operator]

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Text embeddings `[n, D]`, unit length, float32, on the model's device; without gradient."""
        with torch.no_grad():
            return self.encode_tokens(self.tokenize(texts).to(self.mean.device))

    def encode_image(self, images: Tensor) -> Tensor:
        """Image embeddings `[n, D]`, unit length, float32, of images `[n, 3, H, W]` in `[0, 1]` of any size."""
        if images.shape[-2:] != (self.size, self.size):
            images = functional.interpolate(
                images, size=(self.size, self.size), mode="bicubic", antialias=True, align_corners=False
            ).clamp_(0, 1)
        normalised = (images - self.mean) / self.std
        return functional.normalize(self.model.encode_image(normalised).float(), dim=-1)  # type: ignore[operator]

    @property
    def temperature(self) -> Tensor:
        """`1 / logit_scale`, a positive scalar; the scale is held at 100 at most, as CLIP's authors do."""
        return torch.exp(-self.model.logit_scale.float().clamp(max=4.6052))  # type: ignore[union-attr,operator]


def build_clip(model: str) -> Clip:
    """A CLIP at its random initialisation.

    Args:
        model: a name that open_clip knows, `tiny` or another JSON of `configs/clip`, or the path of a JSON.

    Raises:
        UsageError: no such model.
    """
    return _create(model, None)


def load_clip(model: str, weights: str) -> Clip:
    """A pretrained CLIP.

    Args:
        model: as for `build_clip`.
        weights: a tag that open_clip has for the model, or the path of a checkpoint.

    Raises:
        UsageError: no such model, or no such tag for it.
        UnavailableError: the weights are not here and cannot be fetched, or do not fit.
    """
    import open_clip

    name = _register(model)
    is_file = is_checkpoint(weights)
    if is_file and not Path(weights).expanduser().is_file():
        raise UnavailableError(f"teacher.text.weights: no such file: {weights}", remedy="Check the path.")
    if not is_file and weights not in (tags := open_clip.list_pretrained_tags_by_model(name)):
        known = f"known tags: {', '.join(tags)}" if tags else "it has none"
        raise UsageError(f"teacher.text.weights: open_clip has no tag {weights!r} for {model} ({known})")
    try:
        return _create(model, str(Path(weights).expanduser()) if is_file else weights)
    except (UsageError, UnavailableError):
        raise
    except Exception as error:  # hub, file and shape errors of three libraries; the remedy is one
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnavailableError(
            f"teacher.text.weights: {weights} for {model} could not be loaded ({reason})",
            remedy="Connect to the internet and run again, give a local checkpoint (teacher.text.weights: FILE.pt),"
            " or train a small one: --set teacher.text.model=tiny --set teacher.text.weights=fit",
        ) from error


def is_checkpoint(weights: str) -> bool:
    """Whether `teacher.text.weights` names a checkpoint file rather than a tag."""
    return weights.endswith((".pt", ".pth", ".bin", ".safetensors"))


def _register(model: str) -> str:
    """The name by which open_clip knows the model, after telling it of a JSON of ours or of the user's."""
    import open_clip

    from pipeline.recipe.catalog import configs_directory

    shipped = configs_directory() / "clip" / f"{model}.json"
    path = shipped if shipped.is_file() else Path(model).expanduser()
    if path.suffix == ".json":
        if not path.is_file():
            raise UnavailableError(f"teacher.text.model: no such file: {model}", remedy="Check the path.")
        open_clip.add_model_config(path)
        if path.stem in open_clip.list_models():
            return path.stem
        raise UsageError(f"teacher.text.model: {path} is no open_clip model (it needs embed_dim, vision_cfg, text_cfg)")
    if model not in open_clip.list_models():
        ships = ", ".join(sorted(file.stem for file in (configs_directory() / "clip").glob("*.json")))
        raise UsageError(
            f"teacher.text.model: open_clip knows no model {model!r}",
            remedy=f"Take a name of open_clip.list_models(), one of {ships}, or the path of a JSON.",
        )
    return model


def _create(model: str, pretrained: str | None) -> Clip:
    import open_clip

    name = _register(model)
    logging.getLogger().setLevel(max(logging.WARNING, logging.getLogger().level))
    with contextlib.redirect_stdout(io.StringIO()):
        network = open_clip.create_model(name, pretrained=pretrained, precision="fp32")
    config = open_clip.get_model_preprocess_cfg(network)
    size = config["size"] if isinstance(config["size"], int) else config["size"][0]
    return Clip(network, open_clip.get_tokenizer(name), size, config["mean"], config["std"])
