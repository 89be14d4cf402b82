"""The picture of the front."""

from pathlib import Path

from pipeline.search.figure import draw
from pipeline.search.space import Bounds
from tests.pipeline.search.making import asked_on
from tests.pipeline.search.test_outcome import concluded, results


def test_same_outcome_gives_the_same_bytes_and_bounds_are_drawn(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe)
    outcome = concluded(asked, results(asked))
    plain, again, bounded = (draw(outcome, bounds, 1) for bounds in (Bounds(), Bounds(), Bounds(1.5, None, 0.5)))
    assert plain == again
    assert plain[0] != bounded[0] and plain[1] != bounded[1]
