"""What `data inspect --fail-on` can fail on, and how much of it was found."""

import difflib
from collections.abc import Mapping, Sequence

from exporters.core.errors import GateError, UsageError
from pipeline.data.inspection.inspect import Inspection

LABEL_SUSPECTS = "label_suspects"

FAILING = (
    "unreadable",
    "copies",
    "across_splits",
    "in_several_classes",
    "near_duplicates",
    "suspicious",
    LABEL_SUSPECTS,
)
"""As the findings are called in the JSON output."""


def kinds_to_fail_on(text: str, with_run: bool) -> tuple[str, ...]:
    """The kinds that are named in a list with commas.

    Args:
        text: such as `copies,near_duplicates`.
        with_run: whether a student is asked about labels.

    Raises:
        UsageError: a name that is none, or label suspects without a student.
    """
    kinds = tuple(name.strip() for name in text.split(",") if name.strip())
    for kind in kinds:
        if kind not in FAILING:
            nearest = difflib.get_close_matches(kind, FAILING, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            raise UsageError(f"--fail-on {kind}: no such finding{hint}", remedy=f"Findings: {', '.join(FAILING)}.")
    if LABEL_SUSPECTS in kinds and not with_run:
        raise UsageError(
            f"--fail-on {LABEL_SUSPECTS}: no student is asked about labels",
            remedy="Name a finished run: --run RUN_DIR",
        )
    return kinds


def counts(inspection: Inspection) -> dict[str, int]:
    """How many of each kind were found in the images."""
    return {
        "unreadable": inspection.unreadable.count,
        "copies": sum(found.count for found in inspection.copies.values()),
        "across_splits": sum(found.count for found in inspection.leaks.values()),
        "in_several_classes": inspection.conflicts.count,
        "near_duplicates": sum(map(len, inspection.near)),
        "suspicious": sum(found.count for found in inspection.oddities.values()),
    }


def require_none(found: Mapping[str, int], kinds: Sequence[str]) -> None:
    """Fail where any of these kinds was found.

    Raises:
        GateError: names each of them with its number.
    """
    there = [f"{kind} {found[kind]:,}" for kind in kinds if found[kind]]
    if there:
        raise GateError(
            f"found what --fail-on names: {', '.join(there)}", remedy="The findings above, or --json, name the images."
        )
