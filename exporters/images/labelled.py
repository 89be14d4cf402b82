"""Folders of labelled images, `<label>/<image>`, and a digest of images and labels."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.names import normalized
from exporters.images.class_folders import find_split_folders, read_class_folders
from exporters.images.scan import Scan
from exporters.images.splits import with_test

_NUMBER = re.compile(r"^\d+\.")
_LAYOUT = "Give a folder with a folder of images for each label."


def folders_of(labels: Sequence[str]) -> Callable[[str], int | None]:
    """A function from the name of a folder to the position of its label, or None if it is no label.

    Labels are as a person writes them: the folder of `blue bar` may be `blue bar`, `blue_bar` or `017.blue_bar`, and in
    any Unicode form.
    """
    exact = {label: index for index, label in enumerate(labels)}
    read = {plain_name(label): index for index, label in enumerate(labels)}
    if len(read) < len(exact):
        read = {}

    def place(folder: str) -> int | None:
        for name in (folder, _NUMBER.sub("", folder)):
            found = exact.get(name, read.get(plain_name(name)))
            if found is not None:
                return found
        return None

    return place


def plain_name(name: str) -> str:
    """A label as a person reads it, to compare by: in one Unicode form, with single blanks for what separates words."""
    return " ".join(normalized(name).replace("_", " ").split())


@dataclass(frozen=True)
class LabelledImages:
    """The images of a folder, each with the position of its label.

    Attributes:
        folder: where the labels' folders lie.
        images: path and position of each.
        left_out: what was passed over there, as one line; empty where nothing was.
    """

    folder: Path
    images: list[tuple[Path, int]]
    left_out: str


def labelled_images(folder: Path, labels: Sequence[str]) -> LabelledImages:
    """Each image of `folder/<label>/`, to any depth, with the position of its label.

    Where the folder has folders of splits, as training reads them, those of the test split are read: of the validation
    split where there is no other.

    Raises:
        UsageError: no such folder, folders with images that are not called as a label, or a training split alone.
        UnavailableError: no images, two folders for one split, or a folder that cannot be listed.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder", remedy=_LAYOUT)
    place_of = folders_of(labels)
    root = proof_folder(folder)
    scan = Scan(root)
    found, strange = [], []
    for group in read_class_folders(scan, root):
        place = place_of(group.name)
        if place is not None:
            found += [(root / image, place) for image in group.images]
        if place is None and group.images:
            strange.append(group.name)
        if not group.images:
            scan.left_out.add("folder without images", group.name)
    if strange:
        raise UsageError(
            f"{root}: {', '.join(strange[:5])} {'is' if len(strange) == 1 else 'are'} no label of the bundle",
            remedy=f"Images lie in a folder for each label: {', '.join(labels[:5])} …",
        )
    if not found:
        passed_over = f" (passed over: {scan.left_out.describe()})" if scan.left_out else ""
        raise UnavailableError(f"{root}: no images here{passed_over}", remedy=_LAYOUT)
    return LabelledImages(root, found, scan.left_out.describe())


def proof_folder(folder: Path) -> Path:
    """The folder of the test split in a data set, of validation where there is no other; `folder` where it has none.

    Raises:
        UsageError: there is a training split alone.
        UnavailableError: two folders for one split.
    """
    splits = find_split_folders(Scan(folder), folder)
    if splits is None:
        return folder
    test = with_test(splits.folders).get("test")
    if test is None:
        raise UsageError(
            f"{folder}: has {splits.folders['train'].name}/ but neither test/ nor val/",
            remedy="Give images that the network was not trained on.",
        )
    return test


def calibration_folder(folder: Path) -> Path:
    """The folder of the training split in a data set; `folder` itself where it has none.

    Raises:
        UnavailableError: two folders for one split.
    """
    splits = find_split_folders(Scan(folder), folder)
    return folder if splits is None else splits.folders.get("train", folder)


def labelled_digest(images: Iterable[tuple[bytes, str]]) -> str:
    """Hex SHA-256 over (SHA-256 of an image's bytes, label) of all images, whatever their order and file names."""
    lines = sorted(f"{digest.hex()} {json.dumps(label)}\n" for digest, label in images)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
