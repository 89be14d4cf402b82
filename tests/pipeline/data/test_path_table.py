import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.data.path_table import PathList, PathTable

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=30)


@settings(deadline=None, max_examples=100)
@given(texts=TEXTS, data=st.data())
def test_selection_equals_that_of_a_list(texts: list[str], data: st.DataObject):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))), dtype=bool)
    table = PathTable.of(texts).select(mask)
    assert list(table) == [text for text, kept in zip(texts, mask, strict=True) if kept]
    assert len(table.text) == table.offsets[-1] and table.offsets[0] == 0


def test_non_utf8_names_survive():
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert list(PathTable.of(["a", name, "b"]).select(np.array([False, True, False]))) == [name]


def test_a_list_whose_table_is_in_use_cannot_grow():
    growing = PathList(["a"])
    table = growing.table()
    with pytest.raises(BufferError):
        growing.append("b")
    assert list(table) == ["a"]


@hypothesis_settings(deadline=None, max_examples=100)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12)))
def test_path_table_returns_the_paths(texts: list[str]):
    texts = [*texts, "not UTF-8 \udcff"]
    table = PathTable.of(texts)
    growing = PathList(texts[:1])
    growing.extend(texts[1:])
    assert growing == table == texts and growing != texts[1:] and table + texts == texts + texts
    packed = growing.table()
    assert packed == texts
    with pytest.raises(BufferError):
        growing.append("more while its arrays are in use")
    assert growing == texts
    assert list(table) == texts
    assert table[1:] == texts[1:]
    assert table[-1] == texts[-1]
    with pytest.raises(IndexError):
        table[len(texts)]
