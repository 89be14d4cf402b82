"""Stanford Cars (Krause et al. 2013) as torchvision expects it.

`devkit/cars_meta.mat` names the classes, `devkit/cars_train_annos.mat` and `cars_test_annos_withlabels.mat` say which
class each image of `cars_train/` and `cars_test/` has.
"""

from pathlib import Path

from exporters.core.errors import UnavailableError
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, SplitName
from pipeline.data.readers.common import readable_names, unpacked_folder
from pipeline.data.readers.tables import AGAIN, Place, Rows, load_matlab, whole_number

META = "devkit/cars_meta.mat"
TRAIN = "devkit/cars_train_annos.mat"
TEST = "cars_test_annos_withlabels.mat"
REMEDY = (
    f"data.root must hold {META}, {TRAIN}, {TEST}, cars_train/ and cars_test/, as torchvision expects them. Its first "
    "home is gone; mirrors have the archives cars_train.tgz, cars_test.tgz, car_devkit.tgz and the second .mat file. "
    "With all of them in one folder,\n"
    "    for archive in *.tgz; do tar -xzf $archive; done\n"
    "    add --set data.root=DIR to the command"
)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List the official splits. `settings` and `progress` are of no effect.

    The labels of the test images may lie in `devkit/` too, and the images one folder deeper (`cars_train/cars_train/`),
    as some mirrors have them.

    Raises:
        UnavailableError: scipy, a table or an image is missing, or a table is wrong; names the file and the entry.
    """
    needed = (META, TRAIN, "cars_train", "cars_test")
    root = unpacked_folder(root, "stanford_cars", needed, REMEDY, below=("stanford_cars",))
    test = next((root / name for name in (TEST, f"devkit/{TEST}") if (root / name).is_file()), None)
    if test is None:
        raise UnavailableError(
            f"data.root: {root} has no {TEST}; devkit/cars_test_annos.mat has no labels", remedy=REMEDY
        )
    (names,) = load_matlab(root / META, ["class_names"])
    classes = {
        number: (Place(root / META, number, "entry"), str(name)) for number, name in enumerate(names.tolist(), start=1)
    }
    rows: Rows[int] = Rows(root)
    tables: tuple[tuple[SplitName, str, Path], ...] = (
        ("train", "cars_train", root / TRAIN),
        ("test", "cars_test", test),
    )
    for split, images, path in tables:
        folder = f"{images}/{images}" if (root / images / images).is_dir() else images
        (annotations,) = load_matlab(path, ["annotations"])
        if not {"fname", "class"} <= set(annotations.dtype.names or ()):
            raise UnavailableError(f"{path}: 'annotations' has no fields fname and class", remedy=AGAIN)
        for position, annotation in enumerate(annotations, start=1):
            place = Place(path, position, "entry")
            number = whole_number(annotation["class"])
            if number is None or number not in classes:
                raise place.error(f"class {str(annotation['class'])[:40]} is not in {META}, which has {len(classes)}")
            rows.add(place, split, f"{folder}/{annotation['fname']}", number)
    return Listing(
        root,
        readable_names([name for _, name in classes.values()], root / META),
        rows.splits(classes),
        official={"train": 8_144, "test": 8_041},
    )
