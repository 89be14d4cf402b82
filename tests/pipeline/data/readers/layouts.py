"""The benchmarks in their true layouts, a few images each; annotations in their real formats."""

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

_JPEG = io.BytesIO()
Image.new("RGB", (4, 4), (90, 120, 60)).save(_JPEG, "JPEG")


def images(root: Path, paths: Iterable[str]) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        # Other bytes in every file, after the end of the picture: the same ones in two splits would be a leak.
        (root / path).write_bytes(_JPEG.getvalue() + path.encode())


def lines(path: Path, texts: Iterable[str], end: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(text + end for text in texts), encoding="utf-8", newline="")


def edit(path: Path, line: int, text: str | None) -> None:
    """Replace one line, counted from 1; None removes it."""
    found = path.read_text("utf-8").split("\n")
    found[line - 1 : line] = [] if text is None else [text]
    path.write_text("\n".join(found), encoding="utf-8")


def cells(texts: Iterable[str]) -> np.ndarray:
    """A column of MATLAB's cell array of texts, as the lists of Stanford Dogs are."""
    return np.array([[text] for text in texts], dtype=object)


def structs(fields: list[str], rows: Iterable[tuple[object, ...]]) -> np.ndarray:
    """MATLAB's row of structs."""
    return np.array([list(rows)], dtype=[(field, object) for field in fields])


def tiny_imagenet(parent: Path) -> Path:
    """Three classes, in no order; two share their first word."""
    root = parent / "tiny-imagenet-200"
    codes = ["n02124075", "n02963159", "n02113186"]
    lines(root / "wnids.txt", codes)
    words = {
        "n00001740": "entity",
        "n02113186": "Cardigan, Cardigan Welsh corgi",
        "n02124075": "Egyptian cat",
        "n02963159": "cardigan",
    }
    lines(root / "words.txt", (f"{code}\t{text}" for code, text in words.items()))
    for code in codes:
        images(root, (f"train/{code}/images/{code}_{i}.JPEG" for i in (0, 1, 10)))
        lines(root / f"train/{code}/{code}_boxes.txt", [f"{code}_0.JPEG\t0\t0\t63\t63"])
    annotated = [(f"val_{i}.JPEG", codes[(i + 1) % 3]) for i in range(6)]
    images(root, (f"val/images/{name}" for name, _ in annotated))
    images(root, ("test/images/test_0.JPEG",))
    lines(root / "val/val_annotations.txt", (f"{name}\t{code}\t0\t32\t44\t62" for name, code in annotated))
    return root


IMAGENET = {"n01440764": 3, "n02012849": 2, "n03126707": 4}
"""Code → the number that the development kit gives it, in an order of its own."""
IMAGENET_VAL = ["n03126707", "n01440764", "n02012849", "n01440764"]


def imagenet(root: Path, val: str = "folders") -> Path:
    """`val`: `folders`, `flat` (without labels), `solution` or `kit`."""
    for code in IMAGENET:
        images(root, (f"train/{code}/{code}_{i}.JPEG" for i in (10026, 7)))
    for number, code in enumerate(IMAGENET_VAL, start=1):
        name = f"ILSVRC2012_val_{number:08}.JPEG"
        images(root, [f"val/{code}/{name}" if val == "folders" else f"val/{name}"])
    if val == "solution":
        solution(root)
    if val == "kit":
        kit(root / "ILSVRC2012_devkit_t12")
    return root


def solution(folder: Path) -> None:
    rows = [f"ILSVRC2012_val_{n:08},{code} 85 1 499 272 {code} 1 1 2 2 " for n, code in enumerate(IMAGENET_VAL, 1)]
    lines(folder / "LOC_val_solution.csv", ["ImageId,PredictionString", *reversed(rows)])


def kit(folder: Path) -> None:
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height"]
    rows = [
        (number, code, "words, of it", "a gloss", 0, np.zeros((0, 0)), 0)
        for code, number in sorted(IMAGENET.items(), key=lambda item: item[1])
    ]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    inner = (1001, "n00001740", "entity", "a node", 2, np.array([1, 2]), 5)
    synsets = structs(fields, [*rows, inner]).T
    savemat(folder / "data" / "meta.mat", {"synsets": synsets})
    lines(folder / "data" / "ILSVRC2012_validation_ground_truth.txt", (str(IMAGENET[code]) for code in IMAGENET_VAL))


def kaggle(parent: Path) -> Path:
    imagenet(parent / "ILSVRC/Data/CLS-LOC", val="flat")
    solution(parent)
    lines(parent / "LOC_synset_mapping.txt", (f"{code} words, of it" for code in IMAGENET))
    return parent


DOGS = {1: "n02085620-Chihuahua", 2: "n02086240-Shih-Tzu", 3: "n02109047-Great_Dane"}


def stanford_dogs(root: Path) -> Path:
    for split, per_class in (("train", 2), ("test", 1)):
        found = [
            (f"{folder}/{folder[:9]}_{split}{i}.jpg", number)
            for number, folder in DOGS.items()
            for i in range(per_class)
        ]
        dogs_list(root / f"lists/{split}_list.mat", found)
        images(root, (f"Images/{name}" for name, _ in found))
    return root


def dogs_list(path: Path, found: list[tuple[str, int]]) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    files, numbers = cells(name for name, _ in found), np.array([[float(number)] for _, number in found])
    savemat(path, {"file_list": files, "annotation_list": files, "labels": numbers})


CARS = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "smart fortwo Convertible 2012"]
CARS_LABELS = {"train": [3, 1, 2, 1, 3, 2], "test": [2, 3, 1]}


def stanford_cars(parent: Path) -> Path:
    root = parent / "stanford_cars"
    (root / "devkit").mkdir(parents=True, exist_ok=True)
    savemat(root / "devkit/cars_meta.mat", {"class_names": np.array([CARS], dtype=object)})
    for split, path in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        cars_table(root / path, [(f"{i:05}.jpg", label) for i, label in enumerate(CARS_LABELS[split], start=1)])
        images(root, (f"cars_{split}/{i:05}.jpg" for i in range(1, len(CARS_LABELS[split]) + 1)))
    return root


def cars_table(path: Path, found: list[tuple[str, int]]) -> None:
    fields = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
    box = tuple(np.uint16([[i]]) for i in (39, 116, 569, 375))
    savemat(path, {"annotations": structs(fields, ((*box, np.uint8([[label]]), name) for name, label in found))})


AIRCRAFT = ["707-320", "Cessna 172", "F/A-18"]


def fgvc_aircraft(parent: Path) -> Path:
    root = parent / "fgvc-aircraft-2013b" / "data"
    lines(root / "variants.txt", AIRCRAFT)
    for start, (split, per_class) in enumerate((("train", 2), ("val", 1), ("test", 2))):
        found = [(f"{1_000_000 * start + 10 * i + k:07}", AIRCRAFT[k]) for i in range(per_class) for k in (2, 0, 1)]
        images(root, (f"images/{name}.jpg" for name, _ in found))
        lines(root / f"images_variant_{split}.txt", (f"{name} {variant}" for name, variant in found))
    return root


FLOWERS = [77, 1, 60, 77, 1, 60, 77, 1, 60, 1]
"""Class of the images 1 to 10."""


def flowers102(parent: Path) -> Path:
    root = parent / "flowers-102"
    images(root, (f"jpg/image_{i:05}.jpg" for i in range(1, 11)))
    savemat(root / "imagelabels.mat", {"labels": np.array([FLOWERS], dtype=np.uint8)})
    flowers_sets(root, [6, 4, 5], [3, 1, 2], [7, 8, 9, 10])
    return root


def flowers_sets(root: Path, train: list[int], valid: list[int], test: list[int]) -> None:
    sets = {"trnid": train, "valid": valid, "tstid": test}
    savemat(root / "setid.mat", {key: np.array([ids], dtype=np.uint16) for key, ids in sets.items()})


PETS = {1: "Abyssinian", 2: "american_bulldog", 11: "Egyptian_Mau"}


def oxford_pets(parent: Path) -> Path:
    root = parent / "oxford-iiit-pet"
    for split, numbers in (("trainval", (100, 7)), ("test", (201,))):
        found = [(f"{breed}_{n}", number) for number, breed in PETS.items() for n in numbers]
        images(root, (f"images/{name}.jpg" for name, _ in found))
        lines(root / f"annotations/{split}.txt", (f"{name} {number} 1 1" for name, number in found))
    return root


FOOD = {"apple_pie": "Apple pie", "beef_carpaccio": "Beef carpaccio", "pho": "Pho"}


def food101(parent: Path) -> Path:
    root = parent / "food-101"
    lines(root / "meta/classes.txt", FOOD)
    lines(root / "meta/labels.txt", FOOD.values())
    for split, numbers in (("train", (1005649, 1011328)), ("test", (1011329,))):
        listed = {folder: [f"{folder}/{number}" for number in numbers] for folder in FOOD}
        images(root, (f"images/{name}.jpg" for names in listed.values() for name in names))
        lines(root / f"meta/{split}.txt", (name for names in listed.values() for name in names))
        (root / f"meta/{split}.json").write_text(json.dumps(listed))
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "fgvc_aircraft": fgvc_aircraft,
    "flowers102": flowers102,
    "food101": food101,
    "imagenet": imagenet,
    "oxford_pets": oxford_pets,
    "stanford_cars": stanford_cars,
    "stanford_dogs": stanford_dogs,
    "tiny_imagenet": tiny_imagenet,
}
"""Data set → a function that writes it below a folder, and returns the folder that holds it."""
