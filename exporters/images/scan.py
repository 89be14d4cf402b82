"""The images in folders: the one way in which training, proof and calibration look for them.

Left out and counted are hidden files and folders, folders that systems and this tool write, files with other suffixes,
and links to what is not there. Other links are followed, wherever they lead.
"""

# Millions of names are looked at: they are no path objects.
# ruff: noqa: PTH110, PTH115, PTH118, PTH120, PTH122

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.images.left_out import LeftOut
from exporters.images.outputs import is_output
from exporters.images.suffixes import has_image_suffix

SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__pycache__"}
)
"""Folders that archives, file servers and disks have of their own."""

OUTPUT = "folder written by tmkd-pipeline"
DEAD_LINK = "dead link"
_DEEPEST = 64


@dataclass
class Scan:
    """One look at the folders of a data set.

    Attributes:
        root: what all paths are relative to.
        left_out: what was passed over, with paths relative to `root`.
        links: links that lead out of `root`, and are followed.
        notes: what else a person should hear.
    """

    root: Path
    left_out: LeftOut = field(default_factory=LeftOut)
    links: LeftOut = field(default_factory=LeftOut)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._top = os.path.realpath(self.root)

    def entries(self, folder: Path) -> tuple[list[str], list[str]]:
        """The names of the files and of the folders in a folder, sorted, without what is passed over.

        Only links are looked at one by one, so that a folder of a million images is listed in seconds.

        Raises:
            UnavailableError: the folder cannot be listed.
        """
        files: list[str] = []
        folders: list[str] = []
        try:
            with os.scandir(folder) as found:
                for entry in sorted(found, key=lambda entry: entry.name):
                    kind = self._kind(entry)
                    if kind is None:
                        (folders if entry.is_dir() else files).append(entry.name)
                    else:
                        self.left_out.add(kind, self.relative(entry.path))
        except (OSError, ValueError) as error:  # ValueError: a name that no file system takes
            raise UnavailableError(f"{folder}: cannot be listed: {getattr(error, 'strerror', error)}") from error
        return files, folders

    def _kind(self, entry: "os.DirEntry[str]") -> str | None:
        """As what an entry is passed over; None: it is not."""
        if entry.name in SYSTEM_FOLDERS or entry.name == ".ipynb_checkpoints":
            return f"{entry.name}/"
        if entry.name.startswith("."):
            return "hidden folder" if entry.is_dir() else "hidden file"
        if entry.is_symlink():
            if not os.path.exists(entry.path):
                return DEAD_LINK
            self._note_link(entry.path)
        if entry.is_dir() and is_output(entry.path):
            return OUTPUT
        return None

    def _note_link(self, path: str) -> None:
        # Not resolved: a million links, as caches of data sets have them, would take minutes.
        target = os.path.normpath(os.path.join(os.path.realpath(os.path.dirname(path)), os.readlink(path)))
        if target != self._top and not target.startswith(self._top + os.sep):
            self.links.add(f"link out of {self.root}", f"{self.relative(path)} -> {target}")

    def relative(self, path: "str | os.PathLike[str]") -> str:
        """A path below the root, with forward slashes."""
        return Path(path).relative_to(self.root).as_posix()

    def images_in(self, folder: Path) -> list[str]:
        """The names of the images that lie in a folder itself, sorted; other files are counted by suffix."""
        return [name for name in self.entries(folder)[0] if self._is_image(folder, name)]

    def _is_image(self, folder: Path, name: str) -> bool:
        if has_image_suffix(name):
            return True
        suffix = os.path.splitext(name)[1].lower()
        self.left_out.add(suffix or "file without a suffix", self.relative(folder / name))
        return False

    def images_below(self, folder: Path) -> list[str]:
        """The images in a folder and in those below it, as paths relative to the root, in the order of their names.

        Raises:
            UnavailableError: a folder cannot be listed, or a link leads to a folder that holds it.
        """
        return list(self._below(folder, self.relative(folder), {}, 0))

    def _below(self, folder: Path, relative: str, open_: dict[tuple[int, int], bool], depth: int) -> Iterator[str]:
        """`open_`: the folders that were read, by device and number; true for those that hold this one."""
        status = folder.stat()
        identity = (status.st_dev, status.st_ino)
        if open_.get(identity):
            raise UnavailableError(f"{folder}: links to a folder that holds it", remedy="remove the link")
        if identity in open_:
            self.left_out.add("link to a folder that was read already", relative)
            return
        if depth > _DEEPEST:
            raise UnavailableError(
                f"{folder}: lies more than {_DEEPEST} folders deep", remedy="move its images up, or remove the folder"
            )
        open_[identity] = True
        files, folders = self.entries(folder)
        below = set(folders)
        prefix = "" if relative == "." else f"{relative}/"
        for name in sorted((*files, *folders)):
            if name in below:
                yield from self._below(folder / name, f"{prefix}{name}", open_, depth + 1)
            elif self._is_image(folder, name):
                yield f"{prefix}{name}"
        open_[identity] = False
