"""Which files a bundle has, and how large each may be: an allow-list that follows from its name, models and engines."""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from exporters.bundle.manifest import (
    BENCHMARK,
    CARD,
    DRIFT,
    GOLDEN_CAM,
    GOLDEN_INPUTS,
    GOLDEN_OUTPUTS,
    LABELS,
    MANIFEST,
    PARITY,
    PREPROCESS,
    SBOM,
    SEAL,
)
from exporters.bundle.openvino import openvino_files
from exporters.bundle.signature import MOST_SIGNATURE_BYTES, SIGNATURE
from exporters.bundle.triton import KSERVE, triton_copies, triton_engines, triton_texts
from exporters.core.errors import GateError
from exporters.core.wording import first_of

_MOST_FOREIGN = 1000
"""Entries of a folder that are looked at beyond those that belong there."""


@dataclass(frozen=True)
class BundleSize:
    """How much a bundle holds.

    Args:
        files: how many, the manifest and its seal included; a signature is none of them.
        bytes: of all of them.
    """

    files: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.files} files, {self.bytes / 1e6:.2f} MB"


def bundle_size(folder: Path, manifest: Mapping[str, Any]) -> BundleSize:
    """Of a bundle with this manifest; the listed files are taken to be of the listed sizes."""
    listed = [entry["size"] for entry in manifest["files"].values()]
    return BundleSize(len(listed) + 2, sum(listed) + sum((folder / name).stat().st_size for name in (MANIFEST, SEAL)))


def allowed_files(manifest: Mapping[str, Any]) -> set[str]:
    """The names of the files that such a bundle lists, no more and no fewer."""
    name, engines = manifest["name"], manifest.get("engines", {})
    served = triton_engines(engines)
    texts = triton_texts(name, 1, (), served)
    models = {*manifest["models"], *engines, *(f"{engine}.json" for engine in engines)}
    described = {PREPROCESS, LABELS, GOLDEN_INPUTS, GOLDEN_OUTPUTS, PARITY, BENCHMARK, CARD, SBOM, KSERVE}
    maps = {GOLDEN_CAM} if "cam" in manifest else set()
    histograms = {DRIFT} if "drift" in manifest else set()
    irs = openvino_files(manifest)
    return {*models, *irs, *described, *maps, *histograms, *texts, *triton_copies(name, served)}


def check_listed(manifest: Mapping[str, Any]) -> None:
    """Refuse, by GateError, a manifest that lists another file than such a bundle has, or not all of them."""
    allowed, listed = allowed_files(manifest), set(manifest["files"])
    if foreign := sorted(listed - allowed):
        raise GateError(f"{MANIFEST}: lists {_some(foreign)}, which no such bundle has")
    if missing := sorted(allowed - listed):
        raise GateError(f"{MANIFEST}: does not list {_some(missing)}")


def check_folder(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Nothing is in the folder but what is listed, a signature, and the folders of both; nothing listed is missing.

    Raises:
        GateError: another file, folder, link or special file; a file of another size than is listed.
    """
    sizes: dict[str, int | None] = {name: entry["size"] for name, entry in manifest["files"].items()}
    sizes |= {MANIFEST: None, SEAL: None}
    allowed = {*sizes, SIGNATURE}
    folders = {parent.as_posix() for name in sizes for parent in PurePosixPath(name).parents}
    found: dict[str, int] = {}
    foreign: list[str] = []
    for relative in sorted(folders):
        foreign += _look(folder, relative, allowed, folders, found)
    missing = sorted(set(sizes) - set(found))
    if missing and len(foreign) <= _MOST_FOREIGN:  # else not all was looked at
        raise GateError(f"{_some(missing)}: listed in {MANIFEST} and missing")
    if foreign:
        raise GateError(f"{_some(sorted(foreign))}: in the bundle and not listed in {MANIFEST}")
    for name, size in sizes.items():
        if size is not None and found[name] != size:
            raise GateError(f"{name}: damaged, it has {found[name]:,} bytes instead of {size:,}")
    if found.get(SIGNATURE, 0) > MOST_SIGNATURE_BYTES:
        raise GateError(f"{SIGNATURE}: {found[SIGNATURE]:,} bytes are more than a signature has")


def _look(folder: Path, relative: str, allowed: set[str], folders: set[str], found: dict[str, int]) -> list[str]:
    """Add the files of one folder to `found`; gives what does not belong there."""
    foreign: list[str] = []
    try:
        with os.scandir(folder / relative) as entries:
            for entry in entries:
                name = (PurePosixPath(relative) / entry.name).as_posix()
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    foreign += [] if name in folders else [f"{name}/"]
                elif not stat.S_ISREG(status.st_mode):
                    raise GateError(f"{name}: not an ordinary file, such as a link")
                elif name in allowed:
                    found[name] = status.st_size
                else:
                    foreign.append(name)
                if len(foreign) > _MOST_FOREIGN:
                    break
    except (FileNotFoundError, NotADirectoryError):
        return foreign  # its files are missing, which is what is told
    except OSError as error:
        raise GateError(f"{relative}: cannot be read ({error.strerror})") from error
    return foreign


def _some(names: Iterable[str]) -> str:
    return first_of([name[:200] for name in names], 5)
