from pathlib import Path

import pytest

from pipeline.data.birds_demo import CLASS_NAMES
from pipeline.data.readers import birds_demo
from tests.pipeline.data.conftest import Data, write_folders


def test_names_are_those_of_the_species(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rendering has tests of its own, and takes a while: here it is a folder of noise."""
    steps: list[tuple[int, int]] = []

    def ensure(root: Path, progress: object) -> Path:
        progress(1, 1)  # type: ignore[operator]
        folders = [name.replace(" ", "_") for name in CLASS_NAMES]
        return write_folders(root, {f"{split}/{name}": 1 for split in ("train", "test") for name in folders})

    monkeypatch.setattr(birds_demo, "ensure_birds_demo", ensure)
    listing = birds_demo.read(tmp_path, Data(), lambda done, total: steps.append((done, total)))
    assert sorted(listing.classes) == sorted(CLASS_NAMES)
    assert {name: len(split) for name, split in listing.splits.items()} == {"train": 16, "test": 16}
    assert steps == [(1, 1)]
