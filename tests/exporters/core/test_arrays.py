import contextlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from exporters.core.arrays import largest_and_sum, npz_bytes, read_npz
from exporters.core.errors import GateError


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(st.sampled_from([np.uint8, np.float32]), hnp.array_shapes(min_dims=1, min_side=0)))
def test_written_arrays_are_read_by_numpy_and_by_us(array: np.ndarray) -> None:
    data = npz_bytes("image", array)
    assert npz_bytes("image", np.asfortranarray(array)) == data
    np.testing.assert_array_equal(np.load(io.BytesIO(data), allow_pickle=False)["image"], array)
    np.testing.assert_array_equal(read_npz("x", data, "image"), array)


def with_members(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def npy(array: np.ndarray, **arguments: bool) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **arguments)
    return stream.getvalue()


def compressed() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, image=np.zeros(1_000_000, np.uint8))
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a zip",
        npz_bytes("logits", np.zeros(3)),
        npz_bytes("image", np.zeros(3)) + b"more",
        with_members(("image.npy", npy(np.zeros(3)))),
        with_members(("image.npy", npy(np.zeros(3))), ("teacher.npy", npy(np.zeros(3)))),
        with_members(("image.npy", npy(np.array([{}], dtype=object), allow_pickle=True))),
        with_members(("image.npy", b"\x80\x04")),
        compressed(),
    ],
    ids=["empty", "no zip", "key", "trailing", "other zip", "second", "pickle", "no array", "bomb"],
)
def test_malformed_npz_is_refused(data: bytes) -> None:
    with pytest.raises(GateError, match=r"golden/inputs\.npz"):
        read_npz("golden/inputs.npz", data, "image")


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_changed_byte_is_refused_or_gives_the_same_shape_of_answer(data: st.DataObject) -> None:
    content = bytearray(npz_bytes("image", np.arange(12, dtype=np.uint8)))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(GateError):
        assert npz_bytes("image", read_npz("x", bytes(content), "image")) == bytes(content)


def test_largest_logit_and_sum_give_the_logarithm_of_all_exponentials() -> None:
    logits = np.array([[1.0, 2.0, 3.0], [-800.0, -800.0, -900.0]], np.float32)
    largest, total = largest_and_sum(logits)
    assert largest.tolist() == [3, -800] and largest.dtype == total.dtype == np.float64
    np.testing.assert_allclose(total, [1 + np.exp(-1) + np.exp(-2), 2], rtol=1e-12)
