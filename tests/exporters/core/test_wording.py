import pytest

from exporters.core.wording import count_of, was_or_were


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1200, "1,200 images")]
)
def test_only_one_is_singular(number: int, expected: str) -> None:
    assert count_of(number, "image") == expected


def test_irregular_plurals_are_given() -> None:
    assert count_of(1, "class", "classes") == "1 class" and count_of(3, "class", "classes") == "3 classes"


def test_the_verb_agrees() -> None:
    assert [was_or_were(number) for number in (0, 1, 2)] == ["were", "was", "were"]
