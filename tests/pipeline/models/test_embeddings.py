import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UnavailableError
from pipeline.models.embeddings import read_embeddings

NAMES = ["Black-footed Albatross", "crested_auklet", "Indigo Bunting"]
ROWS = np.array([[3.0, 4.0, 0.0], [0.0, 2.0, 0.0], [1.0, 1.0, 1.0]], dtype=np.float64)


def write(path: Path, embeddings: object = ROWS, names: object = NAMES) -> Path:
    np.savez(path, embeddings=np.asarray(embeddings), class_names=np.asarray(names))
    return path


def refusal(path: Path, classes: list[str] = NAMES) -> str:
    with pytest.raises(UnavailableError) as caught:
        read_embeddings(path, classes)
    assert str(path) in caught.value.message
    assert caught.value.remedy
    return caught.value.message


def test_rows_follow_the_order_of_the_data_set(tmp_path: Path):
    path = write(tmp_path / "text.npz")
    classes = ["indigo_bunting", "BLACK FOOTED  albatross", "Crested-Auklet", "indigo bunting"]
    found = read_embeddings(path, classes)
    expected = ROWS[[2, 0, 1, 2]]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


@settings(deadline=None, max_examples=30)
@given(data=st.data(), count=st.integers(1, 8), width=st.integers(1, 5))
def test_classes_match_in_any_order_and_spelling(
    data: st.DataObject, count: int, width: int, tmp_path_factory: pytest.TempPathFactory
):
    rows = np.random.default_rng(count * 10 + width).normal(size=(count, width)) + 0.1
    names = [f"Bird number_{i}" for i in range(count)]
    order = data.draw(st.permutations(range(count)))
    spell = data.draw(st.sampled_from([str.upper, str.lower, lambda name: name.replace("_", "-"), str.strip]))
    path = write(tmp_path_factory.mktemp("text") / "text.npz", rows, names)
    found = read_embeddings(path, [spell(names[i]) for i in order]).numpy()
    np.testing.assert_allclose(found, (rows / np.linalg.norm(rows, axis=1, keepdims=True))[order], rtol=1e-4, atol=1e-6)


def test_rows_are_found_by_the_words_where_the_own_names_are_not_there(tmp_path: Path):
    path = write(tmp_path / "text.npz")
    found = read_embeddings(path, ["n01", "n02"], ["indigo bunting", "crested auklet"]).numpy()
    np.testing.assert_allclose(found, ROWS[[2, 1]] / np.linalg.norm(ROWS[[2, 1]], axis=1, keepdims=True), rtol=1e-6)
    # Own names come first, and the two are never mixed: "crested auklet" is another class's word here.
    swapped = read_embeddings(path, NAMES[1:], [NAMES[2], NAMES[1]])
    np.testing.assert_array_equal(swapped, read_embeddings(path, NAMES[1:]))
    with pytest.raises(UnavailableError, match="1 of the data set's 2 classes: n01"):
        read_embeddings(path, ["crested auklet", "n01"], ["great auk", "razorbill"])
    with pytest.raises(UnavailableError, match="1 of the data set's 2 classes: razorbill"):
        read_embeddings(path, ["n01", "n02"], ["crested auklet", "razorbill"])


def test_first_five_missing_classes_are_named(tmp_path: Path):
    path = write(tmp_path / "text.npz")
    message = refusal(path, [*NAMES, *(f"finch {i}" for i in range(7))])
    assert "7 of the data set's 10 classes" in message
    assert "finch 4 and 2 more" in message
    assert "finch 5" not in message


def test_duplicate_class_is_ambiguous(tmp_path: Path):
    path = write(tmp_path / "text.npz", np.ones((4, 2)), ["crane", "Crane", "heron", "teal"])
    assert read_embeddings(path, ["teal", "heron"]).shape == (2, 2)
    assert "more than one embedding for crane" in refusal(path, ["teal", "crane"])


class Planted:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_no_object_is_unpickled(tmp_path: Path):
    trace = tmp_path / "trace"
    path = write(tmp_path / "text.npz", names=np.array([Planted(trace)] * 3, dtype=object))
    assert "allow_pickle" in refusal(path)
    np.save(tmp_path / "bare.npy", np.array([Planted(trace)], dtype=object), allow_pickle=True)
    refusal((tmp_path / "bare.npy").rename(tmp_path / "bare.npz"))
    assert not trace.exists()


@pytest.mark.parametrize("content", ["absent", "empty", "text", "array", "half", "no names", "damaged"])
def test_files_without_embeddings_are_refused(content: str, tmp_path: Path):
    path = tmp_path / "text.npz"
    if content == "empty":
        path.write_bytes(b"")
    elif content == "text":
        path.write_text("albatross 1 2 3")
    elif content == "array":
        np.save(tmp_path / "rows.npy", ROWS)
        (tmp_path / "rows.npy").rename(path)
    elif content == "half":
        write(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "no names":
        np.savez(path, embeddings=ROWS)
    elif content == "damaged":
        np.savez_compressed(path, embeddings=np.random.default_rng(0).normal(size=(3, 500)), class_names=NAMES)
        with zipfile.ZipFile(path) as archive:
            offset = archive.getinfo("embeddings.npy").header_offset
        content_bytes = bytearray(path.read_bytes())
        content_bytes[offset + 500 : offset + 520] = bytes(20)
        path.write_bytes(content_bytes)
    refusal(path)


@pytest.mark.parametrize(
    ("embeddings", "names"),
    [
        (ROWS[:2], NAMES),
        (ROWS[0], NAMES),
        (np.where(ROWS == 3, np.nan, ROWS), NAMES),
        (np.where(ROWS == 3, np.inf, ROWS), NAMES),
        ([["a", "b"]] * 3, NAMES),
        (ROWS, "albatross"),
    ],
)
def test_unfitting_arrays_are_refused(embeddings: object, names: object, tmp_path: Path):
    refusal(write(tmp_path / "text.npz", embeddings, names))
