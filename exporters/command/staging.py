"""The folder of an export: all of its files take their names at once, or none does."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from exporters.errors import GateError
from exporters.variants import VARIANTS

MODEL, AUDIT, PREPROCESS, LABELS, PARITY = (
    "model.onnx", "audit.json", "preprocess.json", "labels.json", "parity.json",
)  # fmt: skip
REJECTED = "rejected"


@dataclass(frozen=True)
class Staging:
    """Where files are written first; what lies in `final` or `rejected` goes to `out` or `out/rejected`."""

    final: Path
    rejected: Path


@contextmanager
def staged(out: Path) -> Iterator[Staging]:
    """Remove what an earlier export left in `out`, and give folders for what takes its place once the block ends well.

    Where it ends with a GateError, `rejected` alone is taken over; with any other, nothing is. `parity.json` comes
    last: where it stands, everything else does. Files that no export wrote are left alone.
    """
    out.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".export-", dir=out))
    try:
        _remove_earlier(out)
        staging = Staging(temporary / "final", temporary / REJECTED)
        for folder in (staging.final, staging.rejected):
            folder.mkdir()
        try:
            yield staging
        except GateError:
            _take_over(staging.rejected, out / REJECTED)
            raise
        _take_over(staging.rejected, out / REJECTED)
        _take_over(staging.final, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_over(source: Path, target: Path) -> None:
    files = [path for path in source.rglob("*") if path.is_file()]
    for path in sorted(files, key=lambda path: (path.name == PARITY, path)):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)


def _remove_earlier(out: Path) -> None:
    models = [MODEL, *(kind.file for kind in VARIANTS.values())]
    names = [PARITY, AUDIT, PREPROCESS, LABELS, *models]
    names += [f"{REJECTED}/{name}{suffix}" for name in models for suffix in ("", ".json")] + [f"{REJECTED}/{PARITY}"]
    for name in names:
        (out / name).unlink(missing_ok=True)
    if (out / REJECTED).is_dir() and not any((out / REJECTED).iterdir()):
        (out / REJECTED).rmdir()
