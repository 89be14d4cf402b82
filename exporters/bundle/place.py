"""Where a bundle is: the folder itself, or inside that of a run or an export."""

from pathlib import Path

from exporters.bundle.manifest import MANIFEST

INSIDE = "bundle"


def bundle_of(path: Path) -> Path:
    """The bundle at a path, or in the folder of a run or an export; the path itself where there is none."""
    inside = path / INSIDE
    return inside if not (path / MANIFEST).exists() and (inside / MANIFEST).is_file() else path
