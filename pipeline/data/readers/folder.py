"""Class folders: `root/{train,test}/<class>/*`, or `root/<class>/*` with a stratified test split; or a table."""

from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.names import normalized, similar_names
from exporters.core.wording import count_of
from exporters.images.class_folders import (
    BESIDE,
    LAYOUT,
    ClassFolder,
    Splits,
    find_split_folders,
    read_class_folders,
    refuse_other_layouts,
)
from exporters.images.left_out import describe_left_out
from exporters.images.scan import Scan
from exporters.images.splits import SplitName, with_test
from exporters.images.suffixes import IMAGE_SUFFIXES
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, Split
from pipeline.data.readers.common import existing_root, notes_on_test, readable_names
from pipeline.data.readers.labels_table import read_labelled
from pipeline.data.splits import stratified_mask

REMEDY = f"expected {LAYOUT}; give that folder: `train DIR`, with a recipe --set data.root=DIR"


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List class folders; each folder's name is its class, with underscores as spaces.

    Splits go by the names of `exporters.images.splits`. The validation split is the test split where there is no other.
    Images in folders below a class folder belong to the class. What `exporters.images.scan` passes over is counted.
    With `data.labels`, a table names the images instead (`labels_table`).

    Args:
        root: the data set's folder.
        settings: `labels`; `test` and `split_seed` are used where there is no test split on disk.
        progress: of no effect, nothing is made or fetched.

    Raises:
        UnavailableError: no such layout, an empty class folder, splits whose classes differ, a link to a folder that
            holds it.
    """
    root = existing_root(root, "folder", REMEDY)
    if settings.labels is not None:
        return read_labelled(root, settings.labels, settings)
    scan = Scan(root)
    found = find_split_folders(scan, root)
    if found is None:
        refuse_other_layouts(root)
        names, everything = _read_classes(scan, root)
        taken = stratified_mask(everything.labels, names, settings.test, settings.split_seed, "test split")
        splits: dict[SplitName, Split] = {"train": everything.select(~taken), "test": everything.select(taken)}
        return _listing(scan, readable_names(names, root), splits, sampled_test=True)

    folders = with_test(_complete(found).folders)
    _count_beside(scan, found)
    refuse_other_layouts(folders["train"])
    names, train = _read_classes(scan, folders["train"])
    splits = {"train": train}
    notes: list[str] = []
    for split, folder in folders.items():
        if split != "train":
            classes = _images(scan, folder)
            _check_same(folders["train"], names, folder, [found.name for found in classes])
            order = {normalized(found.name): found for found in classes}
            notes += [
                f"{folder / order[normalized(name)].name}: written in another Unicode form than in {folders['train']};"
                " both are one class"
                for name in names
                if order[normalized(name)].name != name
            ]
            splits[split] = _split([order[normalized(name)] for name in names])
    listing = _listing(scan, readable_names(names, folders["train"]), splits)
    names_of_splits = {split: folder.relative_to(found.folder).parts[0] for split, folder in folders.items()}
    listing.notes.extend(notes_on_test(names_of_splits))
    listing.notes.extend(notes)
    if found.folder != root:
        listing.notes.append(f"the splits are those of {found.folder}")
    return listing


def _listing(scan: Scan, classes: list[str], splits: dict[SplitName, Split], sampled_test: bool = False) -> Listing:
    return Listing(
        scan.root,
        classes,
        splits,
        dict(scan.left_out.counts),
        sampled_test=sampled_test,
        examples=scan.left_out.first,
        notes=[*scan.notes, *([f"followed: {scan.links.describe()}"] if scan.links else [])],
    )


def _complete(found: Splits) -> Splits:
    """`found`, with a training split and another.

    Raises:
        UnavailableError: it has not both.
    """
    names = {split: folder.relative_to(found.folder).parts[0] for split, folder in found.folders.items()}
    if "train" not in names:
        (first, *_) = names.values()
        raise UnavailableError(f"{found.folder}: has {first}/ but no train/", remedy=REMEDY)
    if len(names) == 1:
        raise UnavailableError(f"{found.folder}: has {names['train']}/ but neither test/ nor val/", remedy=REMEDY)
    return found


def _count_beside(scan: Scan, found: Splits) -> None:
    files, folders = scan.entries(found.folder)
    used = {folder.relative_to(found.folder).parts[0] for folder in found.folders.values()}
    for name in files:
        scan.left_out.add("file outside a class folder", scan.relative(found.folder / name))
    for name in folders:
        if name not in used:
            scan.left_out.add(BESIDE, scan.relative(found.folder / name))


def _read_classes(scan: Scan, folder: Path) -> tuple[list[str], Split]:
    classes = _images(scan, folder)
    return [found.name for found in classes], _split(classes)


def _images(scan: Scan, folder: Path) -> list[ClassFolder]:
    """The classes in a folder, each with images.

    Raises:
        UnavailableError: there are none, or one has no images.
    """
    before = scan.left_out.counts.copy()
    classes = read_class_folders(scan, folder)
    if not classes:
        images = len(scan.images_in(folder))
        why = f", but {count_of(images, 'image')} in itself: it may be one class of {folder.parent}" if images else ""
        raise UnavailableError(f"{folder}: has no class folders{why}", remedy=REMEDY)
    for found in classes:
        if not found.images:
            passed_over = describe_left_out(scan.left_out.counts - before, {})
            raise UnavailableError(
                f"{folder / found.name}: the class folder has no images"
                + (f" (passed over in {folder}: {passed_over})" if passed_over else ""),
                remedy=f"put images into it ({', '.join(sorted(IMAGE_SUFFIXES))}), or remove it",
            )
    return classes


def _split(classes: list[ClassFolder]) -> Split:
    split = Split([], [])
    for label, found in enumerate(classes):
        split.paths.extend(found.images)
        split.labels.extend([label] * len(found.images))
    return split


def _check_same(train: Path, names: list[str], folder: Path, others: list[str]) -> None:
    keys = [{normalized(name): name for name in side} for side in (names, others)]
    for key in sorted(keys[0].keys() ^ keys[1].keys()):
        here, there = (0, 1) if key in keys[0] else (1, 0)
        name = keys[here][key]
        alike = [similar for similar in keys[there].values() if similar_names([name, similar])]
        hint = f", but {alike[0]!r}, which differs in case or blanks alone" if alike else ""
        raise UnavailableError(
            f"{(train, folder)[here] / name}: the class has no folder in {(train, folder)[there]}{hint}",
            remedy="rename one of them" if alike else "every split must have the same classes",
        )
