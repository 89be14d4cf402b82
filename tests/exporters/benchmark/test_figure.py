import pytest

from tests.exporters.benchmark.results import made_up

pytest.importorskip("matplotlib")

from exporters.benchmark.figure import draw_png


def size(picture: bytes) -> tuple[int, int]:
    return int.from_bytes(picture[16:20], "big"), int.from_bytes(picture[20:24], "big")


def test_same_figures_give_the_same_bytes_whatever_the_style() -> None:
    import matplotlib

    first = draw_png(made_up())
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        assert draw_png(made_up()) == first
        assert matplotlib.rcParams["font.size"] == 20


def test_each_number_of_threads_has_a_row_of_panels() -> None:
    result = made_up()
    both = size(draw_png(result))
    result["results"] = [entry for entry in result["results"] if entry["threads"] == 1]
    assert both[0] == size(draw_png(result))[0] == 2000
    assert both[1] == 2 * size(draw_png(result))[1]
