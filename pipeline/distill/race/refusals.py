"""Which candidates of a race can work with the networks at hand."""

from collections.abc import Callable

from exporters.core.errors import UsageError
from pipeline.distill.race.candidates import Candidate
from pipeline.distill.registry import METHODS
from pipeline.distill.settings import DistillSettings


def workable_candidates(
    distill: DistillSettings, build: Callable[[DistillSettings], object]
) -> tuple[tuple[Candidate, ...], dict[str, str]]:
    """Try to build every candidate's method.

    Args:
        distill: the recipe's section.
        build: builds the method of a candidate's settings; raises a UsageError where the networks do not suit it.

    Returns:
        The candidates that can be built, in their order, and the names of the others with the reason.

    Raises:
        UsageError: a method that the recipe names cannot be built; or, where `distill.auto.candidates` is left open,
            none of those that learn from a teacher.
    """
    working: list[Candidate] = []
    refused: dict[str, UsageError] = {}
    for each in distill.candidates:
        try:
            build(distill.of(each))
        except UsageError as error:
            refused[each.name] = error
        else:
            working.append(each)
    named = distill.method != "auto" or distill.auto.candidates is not None
    taught = any(METHODS[each.method].needs_teacher for each in working)
    if refused and (named or not taught):
        raise next(iter(refused.values()))
    return tuple(working), {name: error.message for name, error in refused.items()}
