"""Room on a disk."""

import shutil
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.wording import byte_count


def free_bytes(path: Path) -> int:
    """Bytes that are free on the disk that a path is on, or will be on once it is made."""
    path = path.absolute()
    return shutil.disk_usage(next(each for each in (path, *path.parents) if each.is_dir())).free


def require_room(what: str, needed: float, path: Path, remedy: str) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        what: the subject of the sentence: `the teacher cache`.
        needed: bytes that it will take beside what is there.
        path: where it is or will be.
        remedy: what to do.

    Raises:
        UnavailableError: fewer bytes are free; names both figures.
    """
    free = free_bytes(path)
    if needed > free:
        raise UnavailableError(
            f"{what} takes {byte_count(needed)} more and the disk has {byte_count(free)}", remedy=remedy
        )
