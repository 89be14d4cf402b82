"""FGVC-Aircraft (Maji et al. 2013) in its own layout: 100 variants, in `data/` of its archive.

`variants.txt` names the classes; `images_variant_{train,val,test}.txt` have `<image> <variant>` on each line; images
are `images/<image>.jpg`.
"""

from pathlib import Path

from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, SplitName
from pipeline.data.readers.common import readable_names, unpacked_folder
from pipeline.data.readers.tables import Place, Rows, read_rows

LISTS: dict[SplitName, str] = {
    "train": "images_variant_train.txt",
    "validation": "images_variant_val.txt",
    "test": "images_variant_test.txt",
}
NEEDED = ("variants.txt", *LISTS.values(), "images")
ARCHIVE = "fgvc-aircraft-2013b"
REMEDY = (
    f"data.root must hold {', '.join(NEEDED)}. Oxford offers it as {ARCHIVE}.tar.gz "
    "(https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/); download it by hand, then\n"
    f"    tar -xzf {ARCHIVE}.tar.gz\n"
    f"    add --set data.root={ARCHIVE} to the command"
)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits: `val` is the validation split, so that training has a third of the images.

    Published figures are mostly of training on `train` and `val` together. `settings` and `progress` are of no effect.

    Raises:
        UnavailableError: a table or image is missing, or the tables do not agree; names the file and the line.
    """
    below = ("data", f"{ARCHIVE}/data")
    root = unpacked_folder(root, "fgvc_aircraft", NEEDED, REMEDY, below=below)
    classes: dict[str, tuple[Place, str]] = {}
    for place, variant in read_rows(root / "variants.txt"):
        if variant in classes:
            raise place.error(f"'{variant}' stands on line {classes[variant][0].number} already")
        classes[variant] = (place, variant)
    rows: Rows[str] = Rows(root)
    for split, name in LISTS.items():
        for place, text in read_rows(root / name):
            image, _, variant = text.partition(" ")
            if variant.strip() not in classes:
                raise place.error(f"expected '<image> <variant>' with a variant of variants.txt, found {text[:60]!r}")
            rows.add(place, split, f"images/{image}.jpg", variant.strip())
    return Listing(
        root,
        readable_names(list(classes), root / "variants.txt", [place.number for place, _ in classes.values()]),
        rows.splits(classes),
        official={"train": 3_334, "validation": 3_333, "test": 3_333},
    )
