"""The folder of an export: all of its files take their names at once, or none does."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporters.artifacts.kinds import VARIANT_KINDS
from exporters.bundle.archive import tar_path
from exporters.bundle.manifest import ENGINE_SOURCES, ENGINES, plan_name
from exporters.bundle.openvino import FOLDER, weights_of, xml_name
from exporters.core.errors import GateError, UnavailableError
from exporters.core.files import writing
from exporters.core.locks import held
from exporters.core.write_errors import WriteError
from exporters.openvino.convert import PRECISIONS

MODEL, AUDIT, PREPROCESS, LABELS, PARITY = (
    "model.onnx", "audit.json", "preprocess.json", "labels.json", "parity.json",
)  # fmt: skip
REJECTED, UNPROVED, BUNDLE = "rejected", "unproved", "bundle"
LOCK = ".export.lock"
_PREFIX = ".export-"


@dataclass(frozen=True)
class Staging:
    """Where files are written first.

    Args:
        final: goes to `out`.
        rejected, unproved: go to folders of these names in it.
        packed: what is in it goes to `out`, each folder as a whole.
        work: goes nowhere.
    """

    final: Path
    rejected: Path
    unproved: Path
    packed: Path
    work: Path


@contextmanager
def staged(out: Path) -> Iterator[Staging]:
    """Remove what an earlier export left in `out`, and give folders for what takes its place once the block ends well.

    Where it ends with a GateError, `rejected` alone is taken over; with any other, nothing is. `parity.json` comes
    last: where it stands, everything else does. Files that no export wrote are left alone. What a killed one left in
    its temporary folder goes at the next.

    Raises:
        UnavailableError: another process exports into `out`, or it cannot be written.
    """
    with held(out / LOCK, lambda process: _refusal(out, process)):
        yield from _staged(out)


def _refusal(out: Path, process: str) -> UnavailableError:
    return UnavailableError(
        f"{out}: another export (process {process}) writes there",
        remedy="Wait for it to end, or give another folder: --out DIR",
    )


def _staged(out: Path) -> Iterator[Staging]:
    for killed in out.glob(f"{_PREFIX}*"):  # nobody but us writes here now, so that their owners are dead
        shutil.rmtree(killed, ignore_errors=True)
    temporary = out / f"{_PREFIX}{secrets.token_hex(8)}"  # named first, so that an interrupt after mkdir finds it
    try:
        with writing(out, temporary):
            temporary.mkdir(mode=0o700)
            yield from _filled(out, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _filled(out: Path, temporary: Path) -> Iterator[Staging]:
    _remove_earlier(out)
    folders = [temporary / name for name in ("final", REJECTED, UNPROVED, "packed", "work")]
    for folder in folders:
        folder.mkdir()
    staging = Staging(*folders)
    try:
        yield staging
    except GateError:
        _take_over(staging.rejected, out / REJECTED)
        raise
    except WriteError as error:  # named as the file would have been called
        for folder in (staging.final, staging.packed):
            if folder in error.path.parents:
                raise WriteError(temporary / error.path.relative_to(folder), error.cause) from error
        raise
    for source, target in ((staging.rejected, out / REJECTED), (staging.unproved, out / UNPROVED)):
        _take_over(source, target)
    for whole in sorted(staging.packed.iterdir()):
        whole.replace(out / whole.name)
    _take_over(staging.final, out)


def _take_over(source: Path, target: Path) -> None:
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: (path.name == PARITY, path)):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)


def has_own_bundle(out: Path) -> bool:
    """Whether `out/bundle` was packed by the export that `out` holds: then both hold the same proofs."""
    try:
        return (out / BUNDLE / PARITY).read_bytes() == (out / PARITY).read_bytes()
    except OSError:
        return False


def _remove_earlier(out: Path) -> None:
    if has_own_bundle(out):
        shutil.rmtree(out / BUNDLE, ignore_errors=True)
        tar_path(out / BUNDLE).unlink(missing_ok=True)
    models = [MODEL, *(kind.file for kind in VARIANT_KINDS.values())]
    plans = [plan_name(source) for source in ENGINE_SOURCES.values()]
    beside = [f"{plan}.json" for plan in plans] + [f"{name}.parity.json" for name in plans]
    names = [PARITY, AUDIT, PREPROCESS, LABELS, *models]
    names += [f"{folder}/{name}" for folder in (ENGINES, REJECTED, UNPROVED) for name in (*plans, *beside)]
    irs = [file for precision in PRECISIONS for file in (xml_name(precision), weights_of(xml_name(precision)))]
    names += [f"{folder}/{name}" for folder in (FOLDER, REJECTED) for name in irs]
    names += [f"{REJECTED}/{name}.json" for name in irs]
    names += [f"{REJECTED}/{name}" for name in (PARITY, *models, *(f"{model}.json" for model in models))]
    for name in names:
        (out / name).unlink(missing_ok=True)
    for folder in (ENGINES, FOLDER, REJECTED, UNPROVED):
        if (out / folder).is_dir() and not any((out / folder).iterdir()):
            (out / folder).rmdir()
