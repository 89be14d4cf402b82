import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from exporters.images.normalisation import check_normalisation, normalisation_doubts
from exporters.images.preprocessing import Preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("mean", "std", "told", "remedy"),
    [
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), r"mean: \[123.675", "mean 0.485,0.456,0.406, std 0.229,0"),
        (MEAN, (58.395, 57.12, 57.375), r"std: \[58.395", "divided by 255: std 0.229,0.224,0.225"),
        ((123.675, 116.28, 103.53), STD, "mean", "divided by 255: mean 0.485,0.456,0.406."),
        ((123.68, 116.779, 103.939), (1, 1, 1), "mean", "mean 0.485,0.458,0.4076, std 0.003922,0.003922,0.003922"),
        ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5), "mean", "mean 0.5,0.5,0.5, std 0.5,0.5,0.5"),
        ((-1, -1, -1), (1, 1, 1), "mean", "pixels from -1 to 1"),
        ((0, 0, 0), (2, 2, 2), "std", "pixels from -1 to 1"),
        (MEAN, (0.2, 0, 0.2), "std must be above zero", "Give the std"),
        (MEAN, (0.2, -0.2, 0.2), "std must be above zero", "Give the std"),
        ((300, 116, 103), STD, "mean", "divided by 255"),
        (MEAN[:2], STD, "three finite numbers", None),
        (MEAN, (0.2, 0.2, float("nan")), "three finite numbers", None),
        ((0.5, 0.5, float("inf")), STD, "three finite numbers", None),
    ],
)
def test_values_out_of_bounds_are_refused_with_a_suggestion(
    mean: tuple[float, ...], std: tuple[float, ...], told: str, remedy: str | None
) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        check_normalisation(mean, std)
    assert remedy is None or remedy in str(caught.value.remedy)
    with pytest.raises(UsageError):
        Preprocessing(8, 8, mean, std)  # type: ignore[arg-type]


UNIT = st.floats(0, 1)


@given(mean=st.tuples(UNIT, UNIT, UNIT), std=st.tuples(*[st.floats(0, 1, exclude_min=True)] * 3))
def test_values_within_the_bounds_of_recipes_are_accepted(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    check_normalisation(mean, std)


def test_reversed_channels_and_swapped_values_raise_doubts() -> None:
    assert normalisation_doubts(MEAN, STD) == []
    assert normalisation_doubts((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) == []
    assert "BGR" in normalisation_doubts(MEAN[::-1], STD[::-1])[0]
    assert "the other way round" in normalisation_doubts(STD, MEAN)[0]
