"""CUB-200-2011 (Wah et al. 2011) in its own layout, or any subset in that layout.

`images.txt`, `classes.txt`, `image_class_labels.txt` and `train_test_split.txt` have one `<id> <value>` on each line;
`images.txt` gives paths below `images/`. Ids are joined by value and need not be contiguous.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, Split
from pipeline.data.readers.common import existing_root, readable_names

TABLES = ("images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt")
REMEDY = (
    f"data.root must hold {', '.join(TABLES)} and images/. CaltechDATA offers it as CUB_200_2011.tgz "
    "(https://data.caltech.edu/records/65de6-vp158); download it by hand, then\n"
    "    tar -xzf CUB_200_2011.tgz\n"
    "    add --set data.root=CUB_200_2011 to the command\n"
    "  or, with no data set at hand, add --set data.dataset=birds_demo --set data.root=null"
)


@dataclass(frozen=True)
class _Row:
    value: str
    line: int


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits: `train_test_split.txt` says 1 for training and 0 for test.

    The folder that holds `CUB_200_2011/` is taken too, since that is what the archive unpacks into. `settings` and
    `progress` are of no effect: the splits are official, and nothing is made or fetched.

    Raises:
        UnavailableError: a table or image is missing, or the tables do not agree; names the file and the line.
    """
    root = existing_root(root, "cub200", REMEDY)
    if not (root / "images.txt").exists() and (root / "CUB_200_2011" / "images.txt").exists():
        root /= "CUB_200_2011"
    missing = [name for name in (*TABLES, "images") if not (root / name).exists()]
    if missing:
        raise UnavailableError(f"data.root: {root} has no {', '.join(missing)}", remedy=REMEDY)

    images, classes, image_labels, assignments = (_read_table(root / name) for name in TABLES)
    for name, table in ((TABLES[2], image_labels), (TABLES[3], assignments)):
        _same_ids(root / TABLES[0], images, root / name, table)
    label_of = {identity: position for position, identity in enumerate(sorted(classes))}
    train, test = Split([], []), Split([], [])
    for identity, row in images.items():
        path = _image_path(root, row)
        label, assignment = image_labels[identity], assignments[identity]
        if not label.value.isdecimal() or int(label.value) not in label_of:
            raise _error(root / TABLES[2], label.line, f"class '{label.value}' is not in {TABLES[1]}")
        if assignment.value not in ("0", "1"):
            raise _error(
                root / TABLES[3], assignment.line, f"expected 1 (train) or 0 (test), found '{assignment.value}'"
            )
        split = train if assignment.value == "1" else test
        split.paths.append(path)
        split.labels.append(label_of[int(label.value)])
    for part, split in (("training", train), ("test", test)):
        for identity in sorted(set(label_of) - {sorted(label_of)[label] for label in set(split.labels)}):
            row = classes[identity]
            raise _error(root / TABLES[1], row.line, f"class '{row.value}' has no {part} image")
    names = [re.sub(r"^\d+\.", "", classes[identity].value) for identity in sorted(classes)]
    return Listing(
        root,
        readable_names(names, root / TABLES[1]),
        {"train": train, "test": test},
        official={"train": 5_994, "test": 5_794},
    )


def _error(path: Path, line: int, message: str) -> UnavailableError:
    return UnavailableError(f"{path}, line {line}: {message}", remedy="unpack the original archive again")


def _read_table(path: Path) -> dict[int, _Row]:
    rows: dict[int, _Row] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(f"{path}: cannot be read: {error}", remedy=REMEDY) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        identity, _, value = line.strip().partition(" ")
        if not (identity.isascii() and identity.isdecimal()) or not value.strip():
            raise _error(path, number, f"expected '<id> <value>', found '{line[:80]}'")
        if int(identity) in rows:
            raise _error(path, number, f"id {identity} stands on line {rows[int(identity)].line} already")
        rows[int(identity)] = _Row(value.strip(), number)
    if not rows:
        raise UnavailableError(f"{path}: is empty", remedy=REMEDY)
    return rows


def _same_ids(images_path: Path, images: dict[int, _Row], path: Path, table: dict[int, _Row]) -> None:
    for identity, row in images.items():
        if identity not in table:
            raise _error(images_path, row.line, f"image {identity} ('{row.value}') has no line in {path.name}")
    for identity, row in table.items():
        if identity not in images:
            raise _error(path, row.line, f"image {identity} is not in {images_path.name}")


def _image_path(root: Path, row: _Row) -> str:
    relative = Path("images") / row.value
    if ".." in relative.parts or Path(row.value).is_absolute():
        raise _error(root / TABLES[0], row.line, f"'{row.value}' leads out of images/")
    if not (root / relative).is_file():
        raise _error(root / TABLES[0], row.line, f"there is no file {root / relative}")
    return relative.as_posix()
