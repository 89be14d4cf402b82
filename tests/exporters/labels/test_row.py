import pytest

from exporters.labels.row import is_index


@pytest.mark.parametrize("text", ["0", "012", "999999999"])
def test_whole_numbers_are_indices(text: str) -> None:
    assert is_index(text)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "\u0663", "\u00b2", "1" * 10])
def test_other_texts_are_not_indices(text: str) -> None:
    assert not is_index(text)
