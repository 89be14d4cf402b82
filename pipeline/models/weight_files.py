"""Proof that a weights file is the one that is meant. Free of torch: reuse checks it too."""

from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.files import sha256_file


def checked_sha256(path: Path, expected: str | None) -> str:
    """The SHA-256 of a weights file.

    Args:
        path: of a file that is there.
        expected: what it must be, in either case of letters; None: anything.

    Raises:
        UnavailableError: the file is another one; names both hashes.
    """
    found = sha256_file(path)
    if expected is not None and found != expected.lower():
        raise UnavailableError(
            f"{path}: not the weights that the recipe means: expected sha256 {expected.lower()}, found {found}",
            remedy="Fetch the file again; if the new one is meant, change or remove the key sha256.",
        )
    return found
