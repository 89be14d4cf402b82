"""Class folders, and folders of splits around them: which layout a folder has, and what its classes hold."""

from dataclasses import dataclass
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.names import normalized
from exporters.core.wording import first_of
from exporters.images.scan import OUTPUT, Scan
from exporters.images.splits import SplitName, find_splits, split_of
from exporters.images.suffixes import has_image_suffix

LAYOUT = "DIR/train/<class>/* and DIR/test/<class>/* (val/ too where there is one), or DIR/<class>/*"
BESIDE = "folder beside the splits"
_FEW = 10
"""So many class folders may be splits or parts of something under other names; a hundred hardly are."""


@dataclass(frozen=True)
class ClassFolder:
    """The images of one class in one split.

    Attributes:
        name: as it is on disk.
        images: paths relative to the scan's root, in the order of their names; may be empty.
    """

    name: str
    images: list[str]


@dataclass(frozen=True)
class Splits:
    """The folders of the splits of a data set, each of them holding class folders.

    Attributes:
        folder: that which they lie in; below the one that was asked about where that holds it alone.
        folders: by split; without `train` where there is none.
    """

    folder: Path
    folders: dict[SplitName, Path]


def find_split_folders(scan: Scan, folder: Path) -> Splits | None:
    """The folders of the splits in a folder, or in the only folder that it holds; None where there are none.

    A class may be called "train" (a vehicle) or "test": a split is a folder of folders. Where a split's folder holds
    one folder alone, which holds several, as archives often do (`train/train/<class>`), the inner one is the split.

    Raises:
        UnavailableError: two folders for one split, or a folder that cannot be listed.
    """
    looking = Scan(scan.root)  # what it passes over is counted when the classes are read
    for _level in range(3):
        children = looking.entries(folder)[1]
        if find_splits(_with_folders(looking, folder, children), folder):
            named = find_splits(children, folder)
            return Splits(folder, {split: _innermost(looking, folder / name) for split, name in named.items()})
        if len(children) != 1:
            return None
        folder = folder / children[0]
    return None


def _with_folders(scan: Scan, folder: Path, children: list[str]) -> list[str]:
    """Those that are called as a split and hold folders."""
    return [name for name in children if split_of(name) is not None and scan.entries(folder / name)[1]]


def _innermost(scan: Scan, folder: Path) -> Path:
    for _level in range(3):
        files, children = scan.entries(folder)
        if len(children) != 1 or any(has_image_suffix(name) for name in files):
            break
        if len(scan.entries(folder / children[0])[1]) < 2:
            break
        folder = folder / children[0]
    return folder


def read_class_folders(scan: Scan, folder: Path) -> list[ClassFolder]:
    """The class folders in a folder, in the order of their names, with the images in them and below them.

    Names that differ in nothing but their Unicode form are one class, called as the first of them. Files beside the
    class folders are left out, and so are folders that hold nothing but what this tool wrote.

    Raises:
        UnavailableError: a folder cannot be listed, or a link leads to a folder that holds it.
    """
    files, names = scan.entries(folder)
    for name in files:
        scan.left_out.add("file outside a class folder", scan.relative(folder / name))
    classes: dict[str, ClassFolder] = {}
    for name in sorted(names, key=normalized):
        outputs = scan.left_out.counts[OUTPUT]
        images = scan.images_below(folder / name)
        if not images and scan.left_out.counts[OUTPUT] > outputs:
            continue
        found = classes.setdefault(normalized(name), ClassFolder(name, []))
        found.images.extend(images)
        if found.name != name:
            scan.notes.append(f"{folder}: {name!r} stands there in two Unicode forms, which are one class")
    return list(classes.values())


def refuse_other_layouts(folder: Path) -> None:
    """Refuse folders that are no classes, but hold classes or splits.

    Raises:
        UnavailableError: a folder that holds the splits lies beside others, or the few class folders all hold the same
            folders, or splits; says which layout is expected.
    """
    looking = Scan(folder)
    names = looking.entries(folder)[1]
    inside = {name: looking.entries(folder / name)[1] for name in names[:_FEW]}
    if all((split := split_of(name)) is not None and split[1] for name in names):
        find_splits(names, folder)  # refuses `cat_train/ cat_test/ dog_train/ dog_test/`
    divided = [name for name, below in inside.items() if _holds_splits(below)]
    if len(names) == 1 and len(inside[names[0]]) > 1:
        raise UnavailableError(
            f"{folder}: has one folder, {names[0]}/, which holds {_some(inside[names[0]])}",
            remedy=f"expected {LAYOUT}; if those are the classes, give {folder / names[0]} instead",
        )
    if divided and len(divided) < len(inside):
        raise UnavailableError(
            f"{folder}: {divided[0]}/ holds {_some(inside[divided[0]])}, so that the folders here are no classes",
            remedy=f"expected {LAYOUT}; if those are the splits, give {folder / divided[0]} instead",
        )
    if divided or (1 < len(names) <= _FEW and _alike(list(inside.values()))):
        raise UnavailableError(
            f"{folder}: its folders {_some(names)} all hold the same folders, {_some(inside[names[0]])}: they look like"
            " splits or parts of a data set, not like classes",
            remedy=f"expected {LAYOUT}; move or rename the folders so, or list the images in a table (data.labels)",
        )


def _holds_splits(names: list[str]) -> bool:
    found = {split[0] for name in names if (split := split_of(name)) is not None and not split[1]}
    return "train" in found and len(found) > 1


def _alike(folders: list[list[str]]) -> bool:
    """Whether all of these have most of their folders in common, two at least."""
    keys = [{normalized(name).casefold() for name in names} for names in folders]
    common = set.intersection(*keys)
    return len(common) > 1 and 2 * len(common) >= len(set.union(*keys))


def _some(names: list[str]) -> str:
    return first_of([f"{name}/" for name in names], 3)
