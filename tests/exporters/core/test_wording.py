import pytest

from exporters.core.wording import byte_count, count_of, first_of, p_value, was_or_were


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1200, "1,200 images")]
)
def test_only_one_is_singular(number: int, expected: str) -> None:
    assert count_of(number, "image") == expected


def test_irregular_plurals_are_given() -> None:
    assert count_of(1, "class", "classes") == "1 class" and count_of(3, "class", "classes") == "3 classes"


def test_the_verb_agrees() -> None:
    assert [was_or_were(number) for number in (0, 1, 2)] == ["were", "was", "were"]


def test_long_lists_are_cut() -> None:
    assert first_of([], 2) == "" and first_of(["cat", "dog"], 2) == "cat, dog"
    assert first_of([str(number) for number in range(1202)], 2) == "0, 1 and 1,200 more"
    assert first_of(["a is odd", "b is odd", "c is odd"], 2, clauses=True) == "a is odd; b is odd; and 1 more"
    assert first_of(["a is odd", "b is odd"], 2, clauses=True) == "a is odd; b is odd"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.00 kB"),
        (9_999, "10.00 kB"),
        (10_000, "0.01 MB"),
        (2e6, "2.00 MB"),
        (1e9, "1.00 GB"),
        (4e15, "4,000,000.00 GB"),
    ],
)
def test_sizes_are_in_powers_of_ten(size: float, text: str) -> None:
    assert byte_count(size) == text


@pytest.mark.parametrize(
    ("p", "text"), [(1.0, "p = 1"), (0.0512, "p = 0.051"), (0.00012, "p = 0.00012"), (1e-9, "p < 0.0001")]
)
def test_p_values(p: float, text: str) -> None:
    assert p_value(p) == text and p_value(p, alone=True) == text.removeprefix("p ").removeprefix("= ")
