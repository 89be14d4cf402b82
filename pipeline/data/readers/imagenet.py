"""ImageNet (ILSVRC2012, Russakovsky et al. 2015), or a subset of its classes, as people have it on disk.

`train/<code>/*.JPEG` always. `val` is sorted into `val/<code>/*.JPEG`, as torchvision and the usual script do, or
flat as its archive unpacks; then labels come from Kaggle's `LOC_val_solution.csv` or from the development kit. The test
images have no labels, so that `val` is the test split.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.images.scan import Scan
from pipeline.class_names.wordnet import CODE, distinct_words, synonyms
from pipeline.data.listing import Listing, ProgressCallback, ReadSettings, Split
from pipeline.data.readers.common import readable_names, unpacked_folder
from pipeline.data.readers.tables import Place, load_matlab, read_rows, whole_number

KAGGLE = "ILSVRC/Data/CLS-LOC"
SOLUTION = "LOC_val_solution.csv"
KIT = "ILSVRC2012_devkit_t12"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
FLAT = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG", re.IGNORECASE)
REMEDY = (
    "data.root must hold train/<code>/*.JPEG, and val/<code>/*.JPEG or val/*.JPEG with their labels; Kaggle's folder "
    f"(the one with ILSVRC/ and {SOLUTION}) is taken too. ImageNet needs an account: https://image-net.org/download"
)
LABELS_REMEDY = (
    f"put Kaggle's {SOLUTION}, or the development kit (the archive {KIT}.tar.gz unpacks to {KIT}/), "
    "into data.root; or sort the images into val/<code>/"
)


def read(root: Path | None, settings: ReadSettings, progress: ProgressCallback | None = None) -> Listing:
    """List `train` and, as the test split, `val`.

    Labels follow the sorted codes, as those of pretrained weights do. Names are the first of WordNet's words, told
    apart where two classes have the same; `teacher.text.class_names: imagenet` knows better ones for prompts.
    `settings` and `progress` are of no effect.

    Raises:
        UnavailableError: no such layout, an empty class folder, other classes in `val`, or no labels for it; names the
            file and the line.
    """
    given = unpacked_folder(root, "imagenet", (), REMEDY)
    root = unpacked_folder(root, "imagenet", ("train", "val"), REMEDY, below=(KAGGLE,))
    scan = Scan(root)
    in_train, codes = scan.entries(root / "train")
    for code in codes:
        if CODE.fullmatch(code) is None:
            raise UnavailableError(
                f"{root / 'train' / code}: expected a folder called by a code such as n01440764",
                remedy="class folders with other names are read by --set data.dataset=folder",
            )
    if not codes:
        archives = any(name.endswith(".tar") for name in in_train)
        raise UnavailableError(
            f"{root / 'train'}: has no class folders",
            remedy="unpack each n*.tar in it into a folder of its name" if archives else REMEDY,
        )
    words = synonyms()
    names = list(distinct_words({code: words.get(code, (code,)) for code in codes}).values())
    train = _class_folders(scan, "train", codes)
    images, folders = scan.entries(root / "val")
    flat = [name for name in images if FLAT.fullmatch(name)]
    if flat and folders:
        raise UnavailableError(
            f"{root / 'val'}: {len(flat):,} images lie beside class folders such as {folders[0]}/",
            remedy="they were sorted into class folders in part: go on until none is left",
        )
    if flat:
        test = _flat(root, flat, codes, _flat_labels([given, root, *_above(root)]))
    else:
        for code in sorted(set(codes) ^ set(folders)):
            here, there = ("train", "val") if code in codes else ("val", "train")
            raise UnavailableError(
                f"{root / here / code}: the class has no folder in {there}/",
                remedy=f"both must have the same classes; unpack {there} again, or remove the class",
            )
        test = _class_folders(scan, "val", codes)
    return Listing(
        root,
        readable_names(names, root / "train"),
        {"train": train, "test": test},
        dict(scan.left_out.counts),
        official={"train": 1_281_167, "test": 50_000},
        examples=scan.left_out.first,
    )


def _class_folders(scan: Scan, part: str, codes: list[str]) -> Split:
    split = Split([], [])
    for label, code in enumerate(codes):
        images = scan.images_in(scan.root / part / code)
        if not images:
            raise UnavailableError(
                f"{scan.root / part / code}: the class folder has no images", remedy=f"unpack {part} again"
            )
        split.paths.extend(f"{part}/{code}/{name}" for name in images)
        split.labels.extend([label] * len(images))
    return split


def _flat(root: Path, images: list[str], codes: list[str], labels: Mapping[int, tuple[Place, str]]) -> Split:
    """Only the images that are there: those of an archive half unpacked are counted, and the count is reported."""
    label_of = {code: label for label, code in enumerate(codes)}
    split = Split([], [])
    for name in images:
        match = FLAT.fullmatch(name)
        number = int(match[1]) if match else 0
        if number not in labels:
            raise UnavailableError(
                f"{root / 'val' / name}: has no label in {next(iter(labels.values()))[0].file}", remedy=LABELS_REMEDY
            )
        place, code = labels[number]
        if code not in label_of:
            raise place.error(f"{name} is of class '{code}', which has no folder in {root / 'train'}", LABELS_REMEDY)
        split.paths.append(f"val/{name}")
        split.labels.append(label_of[code])
    for label in sorted(set(label_of.values()) - set(split.labels)):
        raise UnavailableError(f"{root / 'val'}: class '{codes[label]}' has no image", remedy="unpack val again")
    return split


def _above(root: Path) -> list[Path]:
    """Kaggle's tables lie three folders above the images."""
    return [root.parents[2]] if root.as_posix().endswith(f"/{KAGGLE}") else []


def _flat_labels(folders: list[Path]) -> dict[int, tuple[Place, str]]:
    """Number of the image → where its label stands, and the class's code."""
    for folder in folders:
        if (folder / SOLUTION).is_file():
            return _solution(folder / SOLUTION)
        for data in (folder / KIT / "data", folder / "data"):
            if (data / TRUTH).is_file() and (data / "meta.mat").is_file():
                return _kit(data)
    raise UnavailableError(
        f"{folders[1] / 'val'}: the images lie in one folder, and there is no table of their labels",
        remedy=LABELS_REMEDY,
    )


def _solution(path: Path) -> dict[int, tuple[Place, str]]:
    """Rows of `ILSVRC2012_val_00048981,n03995372 85 1 499 272`, after a header."""
    labels = {}
    for place, text in read_rows(path):
        image, _, boxes = text.partition(",")
        match = FLAT.fullmatch(f"{image}.JPEG")
        code = boxes.partition(" ")[0].strip()
        if match and CODE.fullmatch(code):
            labels[int(match[1])] = (place, code)
        elif place.number > 1:
            raise place.error(f"expected 'ILSVRC2012_val_<number>,<code> …', found {text[:60]!r}", LABELS_REMEDY)
    if not labels:
        raise UnavailableError(f"{path}: has no rows", remedy=LABELS_REMEDY)
    return labels


def _kit(data: Path) -> dict[int, tuple[Place, str]]:
    """The kit numbers classes in an order of its own; `meta.mat` says which code a number is."""
    (synsets,) = load_matlab(data / "meta.mat", ["synsets"], LABELS_REMEDY)
    if not {"ILSVRC2012_ID", "WNID"} <= set(synsets.dtype.names or ()):
        raise UnavailableError(
            f"{data / 'meta.mat'}: 'synsets' has no fields ILSVRC2012_ID and WNID", remedy=LABELS_REMEDY
        )
    codes = {whole_number(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    labels = {}
    for place, text in read_rows(data / TRUTH, LABELS_REMEDY):
        number = whole_number(text)
        if number is None or number not in codes:
            raise place.error(f"expected a class number of meta.mat, found {text[:40]!r}", LABELS_REMEDY)
        labels[place.number] = (place, codes[number])
    return labels
