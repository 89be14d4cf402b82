"""Stanford Dogs (Khosla et al. 2011) in its own layout.

Images are `Images/<code>-<breed>/*.jpg`; `train_list.mat` and `test_list.mat` say which are for what.
"""

import re
from pathlib import Path

from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, SplitName
from pipeline.data.readers.common import readable_names, unpacked_folder
from pipeline.data.readers.tables import Place, Rows, load_matlab, whole_number

LISTS: dict[SplitName, str] = {"train": "train_list.mat", "test": "test_list.mat"}
REMEDY = (
    "data.root must hold Images/, and train_list.mat and test_list.mat, themselves or in lists/. Stanford offers them "
    "as images.tar and lists.tar (http://vision.stanford.edu/aditya86/ImageNetDogs/); download both by hand, then\n"
    "    mkdir stanford_dogs && tar -xf images.tar -C stanford_dogs && tar -xf lists.tar -C stanford_dogs\n"
    "    add --set data.root=stanford_dogs to the command"
)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits. Names are those of the folders, without the code.

    `settings` and `progress` are of no effect: the splits are official, and nothing is made or fetched.

    Raises:
        UnavailableError: scipy, a list or an image is missing, or a list contradicts itself; names the file and entry.
    """
    root = unpacked_folder(root, "stanford_dogs", ("Images",), REMEDY, below=("stanford_dogs",))
    lists = unpacked_folder(root, "stanford_dogs", tuple(LISTS.values()), REMEDY, below=("lists",))
    rows: Rows[int] = Rows(root)
    folders: dict[int, tuple[Place, str]] = {}
    for split, name in LISTS.items():
        files, numbers = load_matlab(lists / name, ["file_list", "labels"])
        for position, file in enumerate(map(str, files)):
            place = Place(lists / name, position + 1, "entry")
            number = whole_number(numbers[position]) if position < len(numbers) else None
            folder, separator, _ = file.partition("/")
            if number is None or not separator:
                raise place.error(f"expected <code>-<breed>/<image> and a class number, found {file[:60]!r}")
            first, known = folders.setdefault(number, (place, folder))
            if known != folder:
                raise place.error(f"class {number} is '{folder}' here, and '{known}' in {first}")
            rows.add(place, split, f"Images/{file}", number)
    folders = dict(sorted(folders.items()))
    names = [re.sub(r"^n\d{8}-", "", folder) for _, folder in folders.values()]
    return Listing(
        root,
        readable_names(names, root / "Images"),
        rows.splits(folders),
        official={"train": 12_000, "test": 8_580},
    )
