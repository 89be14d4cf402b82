import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from exporters.core.errors import UnavailableError, UsageError
from pipeline.data.prepare.torchvision_sets import fetch
from tests.pipeline.data.prepare.conftest import Reporter


class Fake:
    """A data set as torchvision's are: not there until it is fetched."""

    fetched: list[bool]
    broken = False

    def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
        marker = Path(root) / f"train-{train}"
        if download:
            if self.broken:
                raise RuntimeError("File not found or corrupted.")
            self.fetched.append(train)
            marker.touch()
        if not marker.exists():
            raise RuntimeError("Dataset not found.\nYou can use download=True")


class Undownloadable:
    def __init__(self, root: str) -> None:
        raise AssertionError(root)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    kind = type("MNIST", (Fake,), {"fetched": []})
    datasets = ModuleType("torchvision.datasets")
    datasets.MNIST, datasets.FashionMNIST = kind, Undownloadable  # type: ignore[attr-defined]
    torchvision = ModuleType("torchvision")
    torchvision.datasets = datasets  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)
    return kind


def test_each_split_is_fetched_once(fake: type[Fake], tmp_path: Path, reporter: Reporter) -> None:
    fetch("MNIST", tmp_path / "new", reporter)
    assert fake.fetched == [True, False]
    assert reporter.lines[0] == "torchvision fetches MNIST, train (Dataset not found.)"
    fetch("MNIST", tmp_path / "new", reporter)
    assert fake.fetched == [True, False]


def test_failed_fetch_is_one_clear_error(fake: type[Fake], tmp_path: Path, reporter: Reporter) -> None:
    fake.broken = True
    with pytest.raises(UnavailableError, match="cannot fetch it: File not found or corrupted"):
        fetch("MNIST", tmp_path, reporter)
    with pytest.raises(UnavailableError, match="does not fetch it") as caught:
        fetch("FashionMNIST", tmp_path, reporter)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(UsageError, match="torchvision:MNIST"):
        fetch("MNITS", tmp_path, reporter)


def test_existing_torchvision_set_is_not_fetched(tmp_path: Path, reporter: Reporter) -> None:
    """USPS is a text file of numbers a split; its checksum is looked at only when it is fetched."""
    bz2 = pytest.importorskip("bz2")
    pytest.importorskip("torchvision")
    from pipeline.data.prepare.prepare import prepare

    random = np.random.default_rng(0)
    for name in ("usps.bz2", "usps.t.bz2"):
        rows = "".join(
            f"{label + 1} " + " ".join(f"{i + 1}:{random.uniform(-1, 1):.3f}" for i in range(256)) + "\n"
            for label in [*range(10)] * 2
        )
        (tmp_path / name).write_bytes(bz2.compress(rows.encode()))
    prepared = prepare("torchvision:USPS", tmp_path, reporter)
    assert {name: len(split) for name, split in prepared.listing.splits.items()} == {"train": 20, "test": 20}
    assert not prepared.fetched
