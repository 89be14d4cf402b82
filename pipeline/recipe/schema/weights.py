"""What the sections of the networks share: names of networks, and the normalisation and the hash of weights."""

from pathlib import Path, PurePath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints, model_validator

from exporters.core.errors import UsageError
from exporters.core.files import sha256_file
from exporters.images.normalisation import on_scale_of_bytes
from exporters.student.architectures import UnknownNameError, check_name
from exporters.student.checkpoint_file import KNOWN_SUFFIXES, has_weights_suffix
from pipeline.settings import NonEmpty, Settings, file_or, problem, unexpected


def known_model(name: str) -> str:
    """The name of a network, checked.

    Raises:
        PydanticCustomError: the mistake that no library has it; names the nearest.
    """
    try:
        check_name(name)
    except UnknownNameError as error:
        raise unexpected("a model of torchvision, timm or cifar", (), error.nearest) from error
    except UsageError as error:
        raise unexpected(
            "a model of torchvision, timm or cifar, such as resnet18, timm:convnext_atto or cifar:resnet20", ()
        ) from error
    return name


Model = Annotated[NonEmpty, AfterValidator(known_model)]
"""A network by name."""


_Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0, le=1)]


def _not_of_bytes(value: Any) -> Any:
    """Raises the mistake of giving a mean or std for pixels from 0 to 255, with the one for images in [0, 1]."""
    plain = isinstance(value, list | tuple) and all(type(number) in (int, float) for number in value)
    meant = on_scale_of_bytes(value) if plain else None
    if meant is None:
        return value
    expected = f"three numbers for images in [0, 1] (these are for pixels from 0 to 255; divided by 255: {meant})"
    raise unexpected(expected, ())


Weights = Annotated[str, file_or(("imagenet", "none"))]
"""What a network starts from."""
Mean = Annotated[tuple[_Share, _Share, _Share], Strict(False), BeforeValidator(_not_of_bytes)]
Std = Annotated[tuple[_Positive, _Positive, _Positive], Strict(False), BeforeValidator(_not_of_bytes)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]

SHA256 = "SHA-256 of a weights file, checked before it is loaded (exit 4); filled in by recipe.lock.yaml."

SECTIONS = (("teacher", "visual"), ("teacher", "text"), ("teacher", "text", "tower"), ("student",))
"""The sections of a recipe that may have the keys `weights` and `sha256`."""

NAMES = ("imagenet", "none", "fit")
"""What the key `weights` may say other than a tag of open_clip and a file."""


def names_file(weights: str) -> bool:
    """Whether `weights` is a path, there or not: names and tags have neither suffix nor folder."""
    return weights not in NAMES and (PurePath(weights).suffix != "" or "/" in weights or "\\" in weights)


def check_normalisation(mean: tuple[float, ...] | None, std: tuple[float, ...] | None) -> None:
    """Raises the mistake of giving one of `mean` and `std` without the other."""
    for given, missing, key, other in ((mean, std, "std", "mean"), (std, mean, "mean", "std")):
        if given is not None and missing is None:
            raise problem(key, f"expected three numbers where @{other} is given, got nothing", other)


def check_sha256(weights: str, sha256: str | None) -> None:
    """Raises the mistake of giving a hash for weights that are no file."""
    if sha256 is not None and not names_file(weights):
        raise problem("sha256", f"expected null for @weights {weights}, which is no file, got a hash", "weights")


def check_weights_file(weights: str, key: str | None) -> None:
    """Raises the mistakes of a file that holds no weights by its name, and of a key for weights that are no file."""
    if names_file(weights) and not has_weights_suffix(weights):
        raise problem("weights", f"expected a file of weights ({KNOWN_SUFFIXES}), got {weights!r}")
    if key is not None and not names_file(weights):
        raise problem("weights_key", f"expected null for @weights {weights}, which is no file, got {key!r}", "weights")


class NetworkSettings(Settings):
    """A network of images and its weights: what the student and the visual teacher have in common."""

    model: Model
    arguments: dict[str, Any] = Field(default_factory=dict, description="Arguments of the architecture.")
    weights: Weights
    sha256: Sha256 | None = Field(default=None, description=SHA256)
    weights_key: NonEmpty | None = Field(
        default=None,
        description="Which weights to take from a file with several sets, such as state_dict_ema; null: the plain"
        " ones.",
    )
    mean: Mean | None = Field(
        default=None,
        description="RGB mean that it was trained with, for images in [0, 1]; null: as its weights say, else"
        " ImageNet's.",
    )
    std: Std | None = Field(default=None, description="RGB standard deviation, as for mean; give both or neither.")
    classifier: NonEmpty | None = Field(
        default=None,
        description="The linear layer that gives the logits, by its name in the network, such as fc; null: found"
        " automatically.",
    )

    @model_validator(mode="after")
    def _weights_are_described(self) -> Self:
        check_normalisation(self.mean, self.std)
        check_sha256(self.weights, self.sha256)
        check_weights_file(self.weights, self.weights_key)
        return self


def fill_in_hashes(resolved: dict[str, Any]) -> None:
    """Put the SHA-256 of each weights file that is here into a resolved recipe, where none was given."""
    for path in SECTIONS:
        section: Any = resolved
        for key in path:
            section = section[key]
        if section is None or "weights" not in section:  # no tower, or one that has none of its own
            continue
        file = Path(section["weights"]).expanduser()
        if section["sha256"] is None and names_file(section["weights"]) and file.is_file():
            section["sha256"] = sha256_file(file)
