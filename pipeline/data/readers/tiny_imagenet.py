"""Tiny ImageNet (Stanford CS231n) in its own layout, or any subset in that layout.

`wnids.txt` lists the classes as WordNet codes, `words.txt` gives words for them; images are
`train/<code>/images/*.JPEG` and `val/images/*.JPEG` with `val/val_annotations.txt`. The `test` folder has no labels, so
that `val` is the test split.
"""

from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.images.scan import Scan
from pipeline.class_names.wordnet import CODE, distinct_words, split_synonyms
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, Split
from pipeline.data.readers.common import readable_names, unpacked_folder
from pipeline.data.readers.tables import AGAIN, Place, Rows, read_rows

NEEDED = ("wnids.txt", "words.txt", "train", "val")
REMEDY = (
    f"data.root must hold {', '.join(NEEDED)}. Stanford offers it as tiny-imagenet-200.zip "
    "(http://cs231n.stanford.edu/tiny-imagenet-200.zip); download it by hand, then\n"
    "    unzip tiny-imagenet-200.zip\n"
    "    add --set data.root=tiny-imagenet-200 to the command"
)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List `train` and, as the test split, `val`; also where `val` has been sorted into a folder for each class.

    Labels follow the sorted codes, as in class folders. Names are the first words of `words.txt`, another synonym where
    two classes have the same. `settings` and `progress` are of no effect.

    Raises:
        UnavailableError: a table or image is missing, or the tables do not agree; names the file and the line.
    """
    root = unpacked_folder(root, "tiny_imagenet", NEEDED, REMEDY, below=("tiny-imagenet-200",))
    scan = Scan(root)
    places = _codes(root / "wnids.txt")
    codes = list(places)
    names = readable_names(_names(root / "words.txt", places), root / "words.txt")

    def class_folders(folder: Path) -> Split:
        split = Split([], [])
        for label, code in enumerate(codes):
            images = folder / code / "images"
            images = images if images.is_dir() else folder / code
            if not images.is_dir():
                raise places[code].error(f"class '{code}' has no folder {images}")
            found = scan.images_in(images)
            if not found:
                raise UnavailableError(f"{images}: the class folder has no images", remedy=AGAIN)
            prefix = images.relative_to(root).as_posix()
            split.paths.extend(f"{prefix}/{name}" for name in found)
            split.labels.extend([label] * len(found))
        for code in scan.entries(folder)[1]:
            if CODE.fullmatch(code) and code not in places:
                raise UnavailableError(f"{folder / code}: the class is not in {root / 'wnids.txt'}", remedy=AGAIN)
        return split

    train = class_folders(root / "train")
    sorted_into = next(
        (f for f in (root / "val", root / "val" / "images") if any((f / code).is_dir() for code in codes)), None
    )
    test = _annotated(root, places, names) if sorted_into is None else class_folders(sorted_into)
    return Listing(
        root,
        names,
        {"train": train, "test": test},
        dict(scan.left_out.counts),
        official={"train": 100_000, "test": 10_000},
        examples=scan.left_out.first,
    )


def _codes(path: Path) -> dict[str, Place]:
    """The codes in their order as text, each with its place."""
    places: dict[str, Place] = {}
    for place, code in read_rows(path):
        if CODE.fullmatch(code) is None:
            raise place.error(f"expected a code such as n01443537, found {code[:40]!r}")
        if code in places:
            raise place.error(f"class '{code}' stands on line {places[code].number} already")
        places[code] = place
    return dict(sorted(places.items()))


def _names(path: Path, places: dict[str, Place]) -> list[str]:
    found: dict[str, tuple[str, ...]] = {}
    for place, text in read_rows(path):
        code, _, words = text.partition("\t")
        if code not in places:
            continue  # the file has all of WordNet
        found[code] = split_synonyms(words)
        if not found[code]:
            raise place.error(f"expected '{code}', a tab and words, found {text[:40]!r}")
    for code, place in places.items():
        if code not in found:
            raise place.error(f"class '{code}' has no line in {path.name}")
    return list(distinct_words({code: found[code] for code in places}).values())


def _annotated(root: Path, places: dict[str, Place], names: list[str]) -> Split:
    table = root / "val" / "val_annotations.txt"
    if not table.is_file():
        raise UnavailableError(
            f"{root / 'val'}: has neither val_annotations.txt nor a folder for each class", remedy=AGAIN
        )
    rows: Rows[str] = Rows(root)
    for place, text in read_rows(table):
        image, _, rest = text.partition("\t")
        code = rest.partition("\t")[0].strip()
        if code not in places:
            raise place.error(f"expected '<image><tab><code>' with a code of wnids.txt, found {text[:60]!r}")
        rows.add(place, "test", f"val/images/{image}", code)
    return rows.splits({code: (places[code], name) for code, name in zip(places, names, strict=True)})["test"]
