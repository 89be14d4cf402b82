"""The classification data sets of torchvision, and how each says what is training and what is test.

Known by name and free of torch, so that a recipe is checked without it. Left out are sets without a label for each
image or whose splits differ in their classes, and those that a reader of the project's own reads better.
"""

import difflib
from dataclasses import dataclass, field
from typing import Any

from exporters.core.errors import UnavailableError, UsageError


@dataclass(frozen=True)
class TorchvisionSet:
    """How a class of `torchvision.datasets` is asked.

    Attributes:
        splits: the arguments that give each split, by our names; one split, `train`, for a set that is not divided.
        others: arguments that all splits share.
    """

    splits: dict[str, dict[str, Any]]
    others: dict[str, Any] = field(default_factory=dict)


_FLAG = TorchvisionSet({"train": {"train": True}, "test": {"train": False}})
_TWO = TorchvisionSet({"train": {"split": "train"}, "test": {"split": "test"}})
_THREE = TorchvisionSet({**_TWO.splits, "validation": {"split": "val"}})
_VALIDATED = TorchvisionSet({"train": {"split": "train"}, "test": {"split": "val"}})
_WHOLE = TorchvisionSet({"train": {}})

TORCHVISION_SETS: dict[str, TorchvisionSet] = {
    "CIFAR10": _FLAG,
    "CIFAR100": _FLAG,
    "CLEVRClassification": _VALIDATED,
    "Caltech101": _WHOLE,
    "Caltech256": _WHOLE,
    "Country211": TorchvisionSet({**_TWO.splits, "validation": {"split": "valid"}}),
    "DTD": _THREE,
    "EMNIST": TorchvisionSet(_FLAG.splits, {"split": "balanced"}),
    "EuroSAT": _WHOLE,
    "FER2013": _TWO,
    "FGVCAircraft": _THREE,
    "FashionMNIST": _FLAG,
    "Flowers102": _THREE,
    "Food101": _TWO,
    "GTSRB": _TWO,
    "Imagenette": _VALIDATED,
    "KMNIST": _FLAG,
    "MNIST": _FLAG,
    "OxfordIIITPet": TorchvisionSet({"train": {"split": "trainval"}, "test": {"split": "test"}}),
    "QMNIST": _FLAG,
    "RenderedSST2": _THREE,
    "SEMEION": _WHOLE,
    "STL10": _TWO,
    "SUN397": _WHOLE,
    "SVHN": _TWO,
    "StanfordCars": _TWO,
    "USPS": _FLAG,
}

READ_OTHERWISE = {"ImageFolder": "folder", "DatasetFolder": "folder"}
"""What a reader of the project's own is for, by its name."""


def torchvision_set(name: str) -> TorchvisionSet:
    """How to ask a class.

    Raises:
        UsageError: no such class, or none that gives an image with one label in splits with the same classes; the
            message suggests the nearest.
    """
    if name not in TORCHVISION_SETS:
        nearest = difflib.get_close_matches(name, TORCHVISION_SETS, n=1, cutoff=0.5)
        by_case = [known for known in TORCHVISION_SETS if known.lower() == name.lower()]
        hint = f"; did you mean 'torchvision:{(by_case or nearest)[0]}'?" if by_case or nearest else ""
        if name in READ_OTHERWISE:
            hint = f"; use data.dataset={READ_OTHERWISE[name]}"
        raise UsageError(
            f"data.dataset: 'torchvision:{name}' is no data set of torchvision for classification that can be read "
            f"here{hint}",
            remedy=f"known: {', '.join(TORCHVISION_SETS)}",
        )
    return TORCHVISION_SETS[name]


def torchvision_class(name: str) -> Any:
    """The class in the installed torchvision.

    Raises:
        UnavailableError: torchvision is missing, or does not have this class.
    """
    try:
        from torchvision import datasets
    except ImportError as error:
        raise UnavailableError(
            f"data.dataset: torchvision:{name} needs torchvision: {error}", remedy="pip install 'tmkd-pipeline[cpu]'"
        ) from error
    found = getattr(datasets, name, None)
    if found is None:
        raise UnavailableError(
            f"data.dataset: the installed torchvision has no {name}", remedy="pip install --upgrade torchvision"
        )
    return found
