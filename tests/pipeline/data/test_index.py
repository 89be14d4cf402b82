import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from exporters.core.errors import UnavailableError
from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index
from tests.pipeline.data.conftest import Data, write_image
from tests.pipeline.data.test_indexing import paths

Settings = Callable[..., Data]


def test_saved_and_loaded_is_the_same(folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory):
    index = build_index(settings())
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    index.save(one)
    build_index(settings(), workers=3).save(two)
    for name in ("index.npz", "index.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    loaded = DataIndex.load(one)
    assert loaded.fingerprint == index.fingerprint
    assert (loaded.root, loaded.classes, loaded.summary()) == (index.root, index.classes, index.summary())
    assert paths(loaded) == paths(index)
    for name, split in loaded.splits.items():
        for part in ("labels", "sha256", "sizes"):
            np.testing.assert_array_equal(getattr(split, part), getattr(index.splits[name], part))


def test_index_sent_to_another_process_maps_the_same_file(
    folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory
):
    saved = tmp_path_factory.mktemp("saved")
    built = build_index(settings())
    assert paths(pickle.loads(pickle.dumps(built))) == paths(built)
    built.save(saved)
    loaded = DataIndex.load(saved)
    sent = pickle.dumps(loaded)
    assert len(sent) < 500 and paths(pickle.loads(sent)) == paths(loaded)
    build_index(settings(split_seed=1)).save(saved)
    assert paths(loaded) == paths(built)  # what is mapped stays
    with pytest.raises(UnavailableError, match="replaced meanwhile"):
        pickle.loads(sent)


@pytest.mark.parametrize("name", ["index.npz", "index.json", "location.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_damaged_index_is_named(
    folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory, name: str, damage: str
):
    saved = tmp_path_factory.mktemp("saved")
    build_index(settings()).save(saved)
    content = (saved / name).read_bytes()
    (saved / name).unlink()
    if damage != "missing":
        (saved / name).write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(UnavailableError, match="the data index cannot be read") as caught:
        DataIndex.load(saved)
    assert "--force data" in str(caught.value)


def test_an_index_that_was_edited_is_refused(
    folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory
):
    saved = tmp_path_factory.mktemp("saved")
    build_index(settings()).save(saved)
    described = json.loads((saved / "index.json").read_text())
    described["classes"].reverse()
    (saved / "index.json").write_text(json.dumps(described))
    with pytest.raises(UnavailableError, match="fingerprint"):
        DataIndex.load(saved)


def test_fingerprint_covers_content_path_label_and_split_but_not_the_place(
    folders: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory
):
    seen = [build_index(settings()).fingerprint]
    moved = tmp_path_factory.mktemp("moved") / "data"
    folders.rename(moved)
    assert build_index(settings(root=str(moved))).fingerprint == seen[0]

    def again() -> None:
        seen.append(build_index(settings(root=str(moved))).fingerprint)

    write_image(moved / "test/teal/000.png", 99)
    again()
    (moved / "test/teal/000.png").rename(moved / "test/teal/00.png")
    again()
    (moved / "test/teal/00.png").rename(moved / "test/wood_duck/00.png")
    again()
    seen.append(build_index(settings(root=str(moved), split_seed=1)).fingerprint)
    assert len(set(seen)) == 5
