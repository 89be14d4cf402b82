"""Class folders: `root/{train,test}/<class>/*`, or `root/<class>/*` with a stratified test split; or a table."""

from collections import Counter
from pathlib import Path

from exporters.errors import UnavailableError
from pipeline.data.listing import IMAGE_SUFFIXES, Listing, Progress, ReadSettings, Split, SplitName
from pipeline.data.readers.common import existing_root, readable_names, refuse_escape
from pipeline.data.readers.labels_table import read_labelled
from pipeline.data.splits import stratified_mask

VALIDATION_FOLDERS = ("val", "valid", "validation")
REMEDY = "expected DIR/train/<class>/* and DIR/test/<class>/*, or DIR/<class>/*; give the folder by --set data.root=DIR"


def read(root: Path | None, settings: ReadSettings, progress: Progress | None = None) -> Listing:
    """List class folders; each folder's name is its class, with underscores as spaces.

    `val` (or `valid`, `validation`) is the test split where there is no `test`, else the validation split. Images in
    folders below a class folder belong to the class. Hidden files are passed over; other files that are not images are
    left out and counted. With `data.labels`, a table names the images instead (`labels_table`).

    Args:
        root: the data set's folder.
        settings: `labels`; `test` and `split_seed` are used where there is no test split on disk.
        progress: of no effect, nothing is made or fetched.

    Raises:
        UnavailableError: no such layout, an empty class folder, splits whose classes differ, a link that leaves `root`.
    """
    root = existing_root(root, "folder", REMEDY)
    if settings.labels is not None:
        return read_labelled(root, settings.labels, settings)
    ignored: Counter[str] = Counter()
    splits: dict[SplitName, Split]
    folders = _split_folders(root)
    if folders is None:
        names, everything = _read_classes(root, root, ignored)
        taken = stratified_mask(everything.labels, names, settings.test, settings.split_seed, "test split")
        train, test = everything.select(~taken), everything.select(taken)
        return Listing(
            root, readable_names(names, root), {"train": train, "test": test}, dict(ignored), drawn_test=True
        )

    names, train = _read_classes(root, folders["train"], ignored)
    splits = {"train": train}
    for split_name, folder in folders.items():
        if split_name == "train":
            continue
        others, splits[split_name] = _read_classes(root, folder, ignored)
        for name in sorted(set(names) ^ set(others)):
            here, there = (folders["train"], folder) if name in names else (folder, folders["train"])
            raise UnavailableError(
                f"{here / name}: the class has no folder in {there}", remedy="every split must have the same classes"
            )
    return Listing(root, readable_names(names, folders["train"]), splits, dict(ignored))


def _split_folders(root: Path) -> dict[SplitName, Path] | None:
    """The folders of the splits, or None where the class folders stand in `root` itself."""
    present = {path.name: path for path in _visible(root) if path.is_dir()}
    validation = [present[name] for name in VALIDATION_FOLDERS if name in present]
    held_out = [*([present["test"]] if "test" in present else []), *validation]
    # A class may be called "train" (a vehicle) or "test"; a split is a folder of folders.
    if "train" not in present or not (held_out or _has_folders(present["train"])):
        if any(_has_folders(folder) for folder in held_out) and "train" not in present:
            raise UnavailableError(f"{root}: has {held_out[0].name}/ but no train/", remedy=REMEDY)
        return None
    if not any(_has_folders(folder) for folder in (present["train"], *held_out)):
        return None
    if len(validation) > 1:
        raise UnavailableError(
            f"{root}: has both {validation[0].name}/ and {validation[1].name}/", remedy="keep one of them"
        )
    if not held_out:
        raise UnavailableError(f"{root}: has train/ but neither test/ nor val/", remedy=REMEDY)
    folders: dict[SplitName, Path] = {"train": present["train"]}
    if "test" in present:
        folders["test"] = present["test"]
        if validation:
            folders["validation"] = validation[0]
    else:
        folders["test"] = validation[0]
    return folders


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be listed: {error.strerror}") from error


def _has_folders(folder: Path) -> bool:
    return any(path.is_dir() for path in _visible(folder))


def _read_classes(root: Path, folder: Path, ignored: Counter[str]) -> tuple[list[str], Split]:
    resolved_root = root.resolve()
    names: list[str] = []
    split = Split([], [])
    for path in _visible(folder):
        refuse_escape(path, resolved_root)
        if not path.is_dir():
            ignored["outside a class folder"] += 1
            continue
        images = _images_below(path, resolved_root, ignored)
        if not images:
            raise UnavailableError(
                f"{path}: the class folder has no images",
                remedy=f"put images into it ({', '.join(sorted(IMAGE_SUFFIXES))}), or remove it",
            )
        split.paths.extend(image.relative_to(root).as_posix() for image in images)
        split.labels.extend([len(names)] * len(images))
        names.append(path.name)
    if not names:
        raise UnavailableError(f"{folder}: has no class folders", remedy=REMEDY)
    return names, split


def _images_below(folder: Path, resolved_root: Path, ignored: Counter[str]) -> list[Path]:
    images: list[Path] = []
    for path in _visible(folder):
        if path.is_symlink():
            refuse_escape(path, resolved_root)
        if path.is_dir():
            if folder.resolve().is_relative_to(path.resolve()):
                raise UnavailableError(f"{path}: links to a folder that holds it", remedy="remove the link")
            images.extend(_images_below(path, resolved_root, ignored))
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            images.append(path)
        else:
            ignored[path.suffix.lower() or "no suffix"] += 1
    return images
