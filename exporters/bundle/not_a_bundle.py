"""Recognizes paths that are given for a bundle and are none, and says what to type instead."""

from pathlib import Path
from shlex import quote

from exporters.core.errors import UsageError
from exporters.student.checkpoint_file import has_weights_suffix

_SEALED = ("manifest.json", "manifest.sha256")
_PACKED = ("MODEL_CARD.md", "golden", "benchmark.json", "sbom.cdx.json")
_EXPORT = "tmkd-pipeline export"


def check_is_bundle(path: Path) -> None:
    """Refuse a path that is something other than a bundle; what may be a damaged bundle passes.

    Raises:
        UsageError: the message says what it is, and what to type.
    """
    if not path.is_dir():
        raise _no_folder(path)
    found = {name for name in (*_SEALED, *_PACKED) if (path / name).exists()}
    if found:
        return
    bundle = path / "bundle"
    has_bundle = (bundle / "manifest.json").is_file()
    if (path / "recipe.lock.yaml").is_file():
        raise UsageError(
            f"{path} is a run directory, not a bundle",
            remedy=f"Its bundle is {bundle}." if has_bundle else "It has no bundle yet: `tmkd-pipeline run` makes one.",
        )
    if (path / "audit.json").is_file() and (path / "model.onnx").is_file():
        raise UsageError(
            f"{path} is the folder of an export, not a bundle",
            remedy=f"Its bundle is {bundle}."
            if has_bundle
            else f"The same `{_EXPORT} … --out {quote(str(path))}` with --bundle packs one: {bundle}",
        )
    for student in (path, path / "distill" / "chosen", path / "chosen"):
        if (student / "student.json").is_file():
            raise UsageError(f"{path} is a student's folder, not a bundle", remedy=_pack(quote(str(student))))
    if (path / "compare.json").is_file():
        raise UsageError(
            f"{path} is the folder of a comparison, not a bundle",
            remedy="Run the recipe of the best arm to its bundle, or pack one of its students:"
            f" {_EXPORT} {quote(str(path))}/runs/<arm>/<seed> --data DIR --bundle --out DIR",
        )
    if has_bundle:
        raise UsageError(f"{path} is not a bundle, and holds one", remedy=f"Its bundle is {bundle}.")


def _no_folder(path: Path) -> UsageError:
    if not path.exists():
        return UsageError(f"{path}: no such folder", remedy="A bundle is the folder that holds manifest.json.")
    if (path.parent / "manifest.json").is_file():
        return UsageError(f"{path}: not a folder but a file of a bundle", remedy=f"Give its folder: {path.parent}")
    if path.suffix == ".onnx":
        return UsageError(
            f"{path} is an ONNX file, not a bundle",
            remedy="A bundle is made from the weights: " + _pack("WEIGHTS --model NAME"),
        )
    if path.name.endswith("bundle.tar"):
        return UsageError(f"{path} is an archive: not a folder", remedy=f"Unpack it first: tar -xf {quote(str(path))}")
    if has_weights_suffix(path.name):
        return UsageError(
            f"{path} is a file of weights, not a bundle", remedy=_pack(f"{quote(str(path))} --model NAME")
        )
    return UsageError(f"{path}: not a folder", remedy="A bundle is the folder that holds manifest.json.")


def _pack(source: str) -> str:
    return f"{_EXPORT} {source} --data DIR --bundle --out DIR; then give DIR/bundle."
