"""Food-101 (Bossard et al. 2014) in its own layout.

`meta/classes.txt` has the folders of the classes and `meta/labels.txt` their names; `meta/train.txt` and
`meta/test.txt` (or the same as JSON) list the images, `<class>/<number>`, which are `images/<class>/<number>.jpg`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, SplitName
from pipeline.data.readers.common import readable_names, unpacked_folder
from pipeline.data.readers.tables import AGAIN, Place, Rows, read_rows, read_text

PARTS: tuple[SplitName, ...] = ("train", "test")
REMEDY = (
    "data.root must hold images/ and meta/. ETH Zürich offers it as food-101.tar.gz "
    "(https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/); download it by hand, then\n"
    "    tar -xzf food-101.tar.gz\n"
    "    add --set data.root=food-101 to the command"
)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits. `settings` and `progress` are of no effect.

    Raises:
        UnavailableError: a table or image is missing, or the tables do not agree; names the file and the line.
    """
    needed = ("images", "meta", "meta/classes.txt")
    root = unpacked_folder(root, "food101", needed, REMEDY, below=("food-101",))
    path = root / "meta" / "classes.txt"
    classes: dict[str, tuple[Place, str]] = {}
    for place, name in read_rows(path):
        if name in classes:
            raise place.error(f"'{name}' stands on line {classes[name][0].number} already")
        classes[name] = (place, name)
    rows: Rows[str] = Rows(root)
    for split in PARTS:
        for place, image in _images(root / "meta", split):
            folder = image.partition("/")[0]
            if folder not in classes or folder == image:
                raise place.error(f"expected <class>/<number> with a class of classes.txt, found {image[:60]!r}")
            rows.add(place, split, f"images/{image}.jpg", folder)
    return Listing(
        root,
        _names(root / "meta" / "labels.txt", classes),
        rows.splits(classes),
        official={"train": 75_750, "test": 25_250},
    )


def _images(meta: Path, split: SplitName) -> Iterator[tuple[Place, str]]:
    if (meta / f"{split}.txt").is_file():
        yield from read_rows(meta / f"{split}.txt")
        return
    path = meta / f"{split}.json"
    if not path.is_file():
        raise UnavailableError(f"{meta}: has neither {split}.txt nor {split}.json", remedy=AGAIN)
    try:
        listed: dict[str, list[str]] = dict(json.loads(read_text(path)))
        images = [image for name in listed for image in listed[name]]
    except (ValueError, TypeError, RecursionError) as error:
        raise UnavailableError(f"{path}: expected lists of images by class in JSON: {error}", remedy=AGAIN) from error
    for number, image in enumerate(images, start=1):
        yield Place(path, number, "image"), str(image)


def _names(path: Path, classes: dict[str, tuple[Place, str]]) -> list[str]:
    """From `labels.txt`, which goes with `classes.txt` line by line; the folders' own where it is not there."""
    if not path.is_file():
        return readable_names(list(classes), path.with_name("classes.txt"), [p.number for p, _ in classes.values()])
    labels = list(read_rows(path))
    if len(labels) != len(classes):
        raise UnavailableError(f"{path}: has {len(labels)} names for the {len(classes)} of classes.txt", remedy=AGAIN)
    return readable_names([text for _, text in labels], path, [place.number for place, _ in labels])
