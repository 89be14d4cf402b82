"""Label suspects in words, for the terminal."""

from pipeline.console import Console
from pipeline.data.path_table import printable
from pipeline.explain.suspects import LabelSuspects, Suspect

SHOWN = 10
"""Of each kind."""


def report_suspects(found: LabelSuspects, console: Console) -> None:
    """Lines about the labels that the student contradicts.

    Args:
        found: of the student.
        console: where they go.
    """
    for what, some in (("unseen", found.unseen), ("trained on", found.trained_on)):
        if not some.images:
            continue
        console.say(
            f"labels that the student contradicts, among {some.images:,} images that it "
            + ("was not trained on" if what == "unseen" else "was trained on, so that it may have learnt wrong labels")
            + f": {some.count:,}"
        )
        for suspect in some.first[:SHOWN]:
            console.say(f"    {described(suspect)}")
        if some.count > SHOWN:
            console.say(f"    and {some.count - SHOWN:,} more")


def described(suspect: Suspect) -> str:
    """A suspect in words."""
    return (
        f"{printable(suspect.key)}: {suspect.label} ({100 * suspect.of_label:.1f} %),"
        f" rather {suspect.answer} ({100 * suspect.of_answer:.1f} %)"
    )
