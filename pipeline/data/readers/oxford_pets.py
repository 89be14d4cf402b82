"""Oxford-IIIT Pet (Parkhi et al. 2012) in its own layout: 37 breeds of cats and dogs.

`annotations/trainval.txt` and `annotations/test.txt` have `<breed>_<number> <class> <species> <breed of the species>`
on each line; images are `images/<breed>_<number>.jpg`.
"""

from pathlib import Path

from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, SplitName
from pipeline.data.readers.common import readable_names, unpacked_folder
from pipeline.data.readers.tables import Place, Rows, read_rows, whole_number

LISTS: dict[SplitName, str] = {"train": "annotations/trainval.txt", "test": "annotations/test.txt"}
REMEDY = (
    f"data.root must hold images/, {' and '.join(LISTS.values())}. Oxford offers it as images.tar.gz and "
    "annotations.tar.gz (https://www.robots.ox.ac.uk/~vgg/data/pets/); download both by hand into one folder, then\n"
    "    tar -xzf images.tar.gz && tar -xzf annotations.tar.gz\n"
    "    add --set data.root=DIR to the command"
)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits, `trainval` for training. Names are the breeds, capitalised as torchvision has them.

    `settings` and `progress` are of no effect: the splits are official, and nothing is made or fetched.

    Raises:
        UnavailableError: a table or image is missing, or a table is wrong; names the file and the line.
    """
    needed = ("images", *LISTS.values())
    root = unpacked_folder(root, "oxford_pets", needed, REMEDY, below=("oxford-iiit-pet",))
    rows: Rows[int] = Rows(root)
    breeds: dict[int, tuple[Place, str]] = {}
    for split, name in LISTS.items():
        for place, text in read_rows(root / name):
            if text.startswith("#"):
                continue
            image, *numbers = text.split()
            number = whole_number(numbers[0]) if numbers else None
            breed, separator, _ = image.rpartition("_")
            if number is None or not separator:
                raise place.error(f"expected '<breed>_<number> <class> …', found {text[:60]!r}")
            first, known = breeds.setdefault(number, (place, breed))
            if known != breed:
                raise place.error(f"class {number} is '{breed}' here, and '{known}' in {first}")
            rows.add(place, split, f"images/{image}.jpg", number)
    breeds = dict(sorted(breeds.items()))
    names = [" ".join(word.title() for word in breed.split("_")) for _, breed in breeds.values()]
    return Listing(
        root,
        readable_names(names, root / "annotations"),
        rows.splits(breeds),
        official={"train": 3_680, "test": 3_669},
    )
