"""Images that a data set of torchvision gives by number."""

import hashlib
import inspect
import os
import struct
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from PIL import Image

from exporters.core.errors import TmkdError, UnavailableError
from exporters.core.files import file_state
from exporters.images.decoding import UnreadableImageError, open_rgb
from pipeline.data.stores.base import Store
from pipeline.data.torchvision_names import torchvision_class, torchvision_set

_SIZE = struct.Struct("<II")


def _upright(path: str | Path) -> Image.Image:
    """What sets decode files with, where they let us."""
    return open_rgb(Path(path))


def open_set(name: str, root: Path, split: str) -> Any:
    """A data set of torchvision, which downloads nothing; images come upright where it lets us decode.

    Raises:
        UsageError: see `torchvision_set`.
        UnavailableError: it is not there, not whole, or torchvision or a package that this set needs is missing.
    """
    asked = torchvision_set(name)
    kind = torchvision_class(name)
    taken = inspect.signature(kind.__init__).parameters
    ours: dict[str, Any] = {"download": False, "loader": _upright}
    # EMNIST and QMNIST hand `download` on to MNIST.
    arguments = {key: value for key, value in ours.items() if key in taken or (key == "download" and "kwargs" in taken)}
    try:
        return kind(str(root), **asked.others, **asked.splits[split], **arguments)
    except TmkdError:
        raise
    except Exception as error:  # each set fails in its own way: RuntimeError, FileNotFoundError, ValueError, …
        reason = str(error).split(" You can use download=True")[0].split("\n")[0].strip().rstrip(".")
        if isinstance(error, ImportError) or "pip install" in str(error):
            remedy = f"pip install {getattr(error, 'name', None) or reason.rpartition(' ')[2]}"
        else:
            remedy = (
                f"data.root is the folder that torchvision is given; fetch the set into it with\n"
                f"    python -c \"from torchvision.datasets import {name} as D; D('{root}', download=True)\"\n"
                "  or by hand where torchvision does not fetch it"
            )
        raise UnavailableError(
            f"data.root: torchvision finds no usable {name} ({split}) below {root}: {reason or type(error).__name__}",
            remedy=remedy,
        ) from error


class TorchvisionStore(Store):
    """Images by split and number: `test/17`. Size and RGB pixels are hashed, whatever lies below them.

    The argument is a name of `TORCHVISION_SETS`.
    """

    def __init__(self, root: Path, argument: str) -> None:
        super().__init__(root, argument)
        self._sets: dict[str, Any] = {}
        self._lock = Lock()
        self._mark = cache(lambda: digest_of_files(root))

    def read(self, key: str) -> bytes:
        """Width and height, each of 4 bytes, lowest first, and the RGB pixels row by row."""
        image = self.image(key)
        return _SIZE.pack(*image.size) + image.tobytes()

    def decode(self, key: str, data: bytes) -> Image.Image:
        """The image of `read`."""
        return Image.frombytes("RGB", _SIZE.unpack_from(data), data[_SIZE.size :])

    def image(self, key: str) -> Image.Image:
        """What the data set gives, as RGB."""
        split, _, number = key.rpartition("/")
        with self._lock:
            if split not in self._sets:
                self._sets[split] = open_set(self.argument, self.root, split)
        try:
            found = self._sets[split]
            image = found[int(number)][0]
            # An image that was turned upright still has its EXIF block, and would be turned again.
            return image if getattr(found, "loader", None) is _upright else open_rgb(image)
        except TmkdError as error:
            raise UnreadableImageError(f"{self.describe(key)}: {error.message}") from error
        except Exception as error:  # decoding is the data set's own
            reason = str(error).split("\n")[0] or type(error).__name__
            raise UnreadableImageError(f"{self.describe(key)}: the image cannot be read: {reason}") from error

    def mark(self, key: str) -> str:
        """One for the whole folder: which files a set reads is its own affair."""
        return self._mark()


def digest_of_files(folder: Path) -> str:
    """Hex SHA-256 over the name and state (`exporters.core.files.file_state`) of every file below a folder.

    Raises:
        OSError: the folder is not there.
    """
    digest = hashlib.sha256()
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders.sort()
        for name in sorted(files):
            path = Path(place, name)
            state = " ".join(map(str, file_state(path.stat(follow_symlinks=False))))
            digest.update(f"{path.relative_to(folder)} {state}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _raise(error: OSError) -> None:
    raise error
