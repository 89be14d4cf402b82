import inspect
import sys
from pathlib import Path

import pytest

from exporters.core.errors import UnavailableError, UsageError
from pipeline.data.registry import load_reader
from pipeline.data.torchvision_names import READ_OTHERWISE, TORCHVISION_SETS, torchvision_class
from tests.pipeline.data.conftest import Data

datasets = pytest.importorskip("torchvision.datasets")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MNISTT", "did you mean 'torchvision:MNIST'"),
        ("cifar100", "did you mean 'torchvision:CIFAR100'"),
        ("CocoDetection", "no data set of torchvision for classification"),
        ("VOCSegmentation", "no data set of torchvision for classification"),
        ("ImageFolder", "use data.dataset=folder"),
    ],
)
def test_sets_that_cannot_be_read_are_refused_with_a_hint(tmp_path: Path, name: str, hint: str):
    with pytest.raises(UsageError, match=hint) as caught:
        load_reader(f"torchvision:{name}")(tmp_path, Data())
    assert "SVHN" in str(caught.value)


def test_table_matches_the_classes_of_torchvision():
    for name, asked in TORCHVISION_SETS.items():
        taken = inspect.signature(getattr(datasets, name).__init__).parameters
        for arguments in (*asked.splits.values(), asked.others):
            assert set(arguments) <= set(taken) or "kwargs" in taken, name
    assert all(hasattr(datasets, name) for name in READ_OTHERWISE)


def test_class_is_found_in_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torchvision_class("SVHN") is datasets.SVHN
    with pytest.raises(UnavailableError, match="the installed torchvision has no SVHN2"):
        torchvision_class("SVHN2")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(UnavailableError, match="torchvision:SVHN needs torchvision"):
        torchvision_class("SVHN")
