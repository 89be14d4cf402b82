"""The text teacher's model: a CLIP of open_clip by hub tag or local checkpoint, or a small one to be trained here."""

import copy
import functools
import json
import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.core.files import sha256_file
from exporters.core.process_state import quiet
from exporters.core.write_errors import full_cache
from exporters.student.checkpoint_file import harmless_types, has_weights_suffix
from exporters.student.finite import attention_masks, require_finite
from pipeline.models.resizing import resize_images
from pipeline.randomness import generator

Module = TypeVar("Module", bound=nn.Module)


class SharedTokenizer:
    """A tokenizer that copies of a CLIP have in common: it holds 50,000 texts and is not changed by use."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, texts: list[str]) -> Tensor:
        """Token numbers `[n, context]`, int64, on the CPU."""
        return self._tokenizer(texts)  # type: ignore[no-any-return]

    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedTokenizer":
        return self


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
        normalised = (resize_images(images, self.size) - self.mean) / self.std
        return functional.normalize(self.model.encode_image(normalised).float(), dim=-1)  # type: ignore[operator]

    @property
    def temperature(self) -> Tensor:
        """`1 / logit_scale`, a positive scalar; the scale is held at 100 at most, as CLIP's authors do."""
        return torch.exp(-self.model.logit_scale.float().clamp(max=4.6052))  # type: ignore[union-attr,operator]


ClipKind = TypeVar("ClipKind", bound=Clip)


def image_part(clip: ClipKind) -> ClipKind:
    """The same CLIP without its text tower: it looks at images alone. Its modules are shared, not copied."""
    return _with_model(clip, _with_children(clip.model, ["visual"], ["logit_scale"]))


def text_part(clip: Clip) -> Clip:
    """The same CLIP without its image tower: it reads prompts alone. Its modules are shared, not copied."""
    children = [name for name in clip.model._modules if name != "visual"]
    return _with_model(clip, _with_children(clip.model, children, clip.model._parameters))


def _with_model(clip: ClipKind, model: nn.Module) -> ClipKind:
    part = _with_children(clip, clip._modules, clip._parameters)
    part.model = model
    return part


def _with_children(module: Module, children: Iterable[str], parameters: Iterable[str]) -> Module:
    """The same module with some of its children and of its own parameters, by name."""
    other = copy.copy(module)
    other._modules = {name: module._modules[name] for name in children}
    other._parameters = {name: module._parameters[name] for name in parameters}
    other._buffers = dict(module._buffers)
    return other


def build_clip(model: str, seed: int = 0) -> Clip:
    """A CLIP at its random initialisation.

    Args:
        model: a name that open_clip knows, `tiny` or another JSON of `configs/clip`, or the path of a JSON.
        seed: of the initialisation.

    Raises:
        UsageError: no such model, or a JSON that describes none.
        UnavailableError: no such file.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(generator(seed, "initialisation of teacher.text").integers(2**63)))
            return _create(model, None)
    except TmkdError:
        raise
    except Exception as error:  # what a description asks for in vain fails in three libraries, each in its own way
        raise UsageError(f"teacher.text.model: {model} cannot be built ({_reason(error)})") from error


def embedding_width(model: str) -> int:
    """Width D of a CLIP's embeddings, by its description alone.

    Args:
        model: as for `build_clip`.

    Raises:
        UsageError: no such model, or a JSON that describes none.
        UnavailableError: no such file.
    """
    import open_clip

    described: int = open_clip.get_model_config(_register(model))["embed_dim"]
    return described


def load_clip(model: str, weights: str) -> Clip:
    """A pretrained CLIP.

    Args:
        model: as for `build_clip`.
        weights: a tag that open_clip has for the model, or the path of a checkpoint.

    Raises:
        UsageError: no such model, or no such tag for it.
        UnavailableError: the weights are not here and cannot be fetched, do not fit, or are NaN or infinite.
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
        clip = _create(model, str(Path(weights).expanduser()) if is_file else weights)
        require_finite(clip.model.state_dict(), f"teacher.text.weights: {weights}", attention_masks(clip.model))
        return clip
    except TmkdError:
        raise
    except Exception as error:  # hub, file and shape errors of three libraries; the remedy is one
        if (full := full_cache(error, Path(torch.hub.get_dir()).parents[1])) is not None:
            raise full from error
        raise UnavailableError(
            f"teacher.text.weights: {weights} for {model} could not be loaded ({_reason(error)})",
            remedy="Connect to the internet and run again, give a local checkpoint (teacher.text.weights: FILE.pt),"
            " or train a small one: --set teacher.text.model=tiny --set teacher.text.weights=fit",
        ) from error


def fetched_sha256(model: str, weights: str) -> str | None:
    """The SHA-256 of the file that `load_clip` has loaded; None where its place is not known.

    Args:
        model, weights: as `load_clip` was given them.
    """
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    if is_checkpoint(weights):
        return sha256_file(Path(weights).expanduser())
    cached = download_pretrained(get_pretrained_cfg(_register(model), weights))  # it is there, so nothing is fetched
    return sha256_file(Path(cached)) if cached else None


def is_checkpoint(weights: str) -> bool:
    """Whether `teacher.text.weights` names a checkpoint file rather than a tag."""
    return has_weights_suffix(weights)


def _register(model: str) -> str:
    """The name by which open_clip knows the model, after telling it of a JSON of ours or of the user's."""
    import open_clip

    from pipeline.catalog import configs_directory

    shipped = configs_directory() / "clip" / f"{model}.json"
    path = shipped if shipped.is_file() else Path(model).expanduser()
    if path.suffix == ".json":
        if not path.is_file():
            raise UnavailableError(f"teacher.text.model: no such file: {model}", remedy="Check the path.")
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"teacher.text.model: {path} is not valid JSON ({error})") from error
        # Checked here, because open_clip reads all files again with each new one, and trips over a bad one ever after.
        if not isinstance(description, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= description.keys():
            raise UsageError(
                f"teacher.text.model: {path} is no open_clip model (it needs embed_dim, vision_cfg, text_cfg)"
            )
        open_clip.add_model_config(path)
        return path.stem
    if model not in open_clip.list_models():
        ships = ", ".join(sorted(file.stem for file in (configs_directory() / "clip").glob("*.json")))
        raise UsageError(
            f"teacher.text.model: open_clip knows no model {model!r}",
            remedy=f"Take a name of open_clip.list_models(), one of {ships}, or the path of a JSON.",
        )
    return model


def _create(model: str, pretrained: str | None) -> Clip:
    import open_clip

    import pipeline.models.towers  # noqa: F401 (timm learns their names)

    name = _register(model)
    # On the root logger it warns of a random initialisation, which was asked for, and repeats what it then raises.
    with quiet(), torch.random.fork_rng(devices=[]), torch.serialization.safe_globals(harmless_types()):
        network = open_clip.create_model(name, pretrained=pretrained, precision="fp32")
        config = open_clip.get_model_preprocess_cfg(network)
        tokenizer = _tokenizer(name, json.dumps(open_clip.get_model_config(name), sort_keys=True))
    size = config["size"] if isinstance(config["size"], int) else config["size"][0]
    return Clip(network, tokenizer, size, config["mean"], config["std"])


@functools.lru_cache(maxsize=8)
def _tokenizer(name: str, _description: str) -> SharedTokenizer:
    """The tokenizer of a model, read once for each name and description: it takes as long as a small network."""
    import open_clip

    return SharedTokenizer(open_clip.get_tokenizer(name))


def _reason(error: Exception) -> str:
    if isinstance(error, pickle.UnpicklingError):  # PyTorch's own message would have the file loaded without protection
        return "damaged, or it holds objects that are no tensors"
    return (str(error) or type(error).__name__).splitlines()[0]
