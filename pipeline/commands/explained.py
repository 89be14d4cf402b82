"""The folder that `predict --explain` writes: a picture for each image, named by image, class and probability."""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.PngImagePlugin import PngInfo

from exporters.core.errors import UsageError
from exporters.core.files import write_bytes
from exporters.images.outputs import MARKER, mark_output

if TYPE_CHECKING:
    from exporters.client import Explanation

_LONGEST = 80  # bytes of the image's and of the label's part of a name


class ExplainedFolder:
    """Takes pictures one after the other.

    Args:
        folder: made where it is missing.
        overwrite: whether it may hold files already; those of the same names are replaced.

    Raises:
        UsageError: it holds files, or is none.
        UnavailableError: it cannot be made or written.
    """

    def __init__(self, folder: Path, *, overwrite: bool) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--explain {folder}: is no folder")
        if not overwrite and folder.is_dir() and any(path.name != MARKER for path in folder.iterdir()):
            raise UsageError(
                f"--explain {folder}: holds files already",
                remedy="Give another folder, or --overwrite, which replaces files of the same names.",
            )
        mark_output(folder)
        self._folder = folder
        self._taken: set[str] = set()

    def write(self, image: Path, explanation: "Explanation") -> Path:
        """Write `<image>_<class>_<per cent>.png`; a second one of that name in this run gets `-2`.

        The picture's own texts tell the image's name, the label and its probability.
        """
        label, probability = explanation.labels[0]
        stem = f"{_safe(image.stem) or 'image'}_{_safe(label) or 'class'}_{100 * probability:.0f}"
        name, count = stem, 1
        while name.casefold() in self._taken:  # some file systems do not tell cases apart
            count += 1
            name = f"{stem}-{count}"
        self._taken.add(name.casefold())
        texts = PngInfo()
        for key, text in (("image", image.name), ("label", label), ("probability", f"{probability:.6f}")):
            texts.add_itxt(key, text.encode("utf-8", "replace").decode())
        data = io.BytesIO()
        explanation.picture.save(data, "PNG", pnginfo=texts)
        path = self._folder / f"{name}.png"
        write_bytes(path, data.getvalue())
        return path


def _safe(text: str) -> str:
    """Letters, digits, `.` and `-` of a text; what is between them becomes one hyphen."""
    text = text.encode("utf-8", "replace").decode()  # half of a surrogate pair cannot be written
    plain = re.sub(r"[^\w.]+|_+", "-", text).strip("-.")
    return plain.encode()[:_LONGEST].decode("utf-8", "ignore").strip("-.")
