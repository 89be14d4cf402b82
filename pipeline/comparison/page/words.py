"""What a comparison's page says in words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from exporters.core.wording import count_of
from pipeline.comparison.analysis import plain_arm
from pipeline.comparison.best import Best
from pipeline.comparison.headline import headline
from pipeline.comparison.page.facts import ComparisonFacts
from pipeline.comparison.page.tables import bounds, shared_seconds
from pipeline.comparison.sentences import difference_in_words, how_to_read, told_plain
from pipeline.comparison.text import interval, percent, points, without_marks
from pipeline.explain.evidence import Evidence
from pipeline.report.page.facts import State
from pipeline.report.page.table import Table
from pipeline.report.page.words import Words as PageWords

_WITH_FIGURES = 4
"""Arms that are named with their differences; of more, the table alone has these."""


@dataclass(frozen=True)
class Words(PageWords):
    """The texts of a comparison's page.

    Attributes:
        state: which gives the verdict's colour.
    """

    state: State = "unfinished"


def words(
    facts: ComparisonFacts, best: Best | None, evidence: Evidence | None, tables: dict[str, Table], folder: str
) -> Words:
    """The texts of a comparison's page.

    Args:
        facts: of the comparison.
        best: its best arm.
        evidence: of the students, where they could be asked.
        tables: of the page.
        folder: of the comparison, as a person types it.
    """
    found = headline(facts.figures) if facts.figures else []
    verdict, state = _verdict(facts, best, found)
    why = [without_marks(sentence) for sentence in found]
    if facts.missing:
        why.append("What is said here is of the runs that are finished. Those without results are listed below.")
    if best is not None:
        why += _not_told_apart(best)
    return Words(verdict, why, tables, _notes(facts, evidence), _commands(facts, folder), state)


def _verdict(facts: ComparisonFacts, best: Best | None, found: Sequence[str]) -> tuple[str, State]:
    if facts.missing:
        every = len(facts.plan.arms) * len(facts.plan.seeds)
        return f"Not finished: {every - len(facts.missing)} of {count_of(every, 'run')}", "unfinished"
    bold = re.search(r"\*\*(.+?)\*\*", found[0]) if found else None
    verdict = without_marks(bold[1] if bold is not None else "Compared").rstrip(".")
    if best is None:
        return verdict, "failed"
    return verdict, "shipped" if _is_shown(facts, best) else "unfinished"


def _is_shown(facts: ComparisonFacts, best: Best) -> bool:
    """Whether an arm is shown to be better than plain training; where that is best itself, or no arm, whether the best
    arm is shown to be better than another."""
    plain = plain_arm(facts.figures)
    if plain is None or plain is best.arm:
        return any(paired.verdict == "better" for paired in best.differences.values())
    return any(each.plain["chosen"].verdict == "better" for each in facts.figures if each.plain is not None)


def _not_told_apart(best: Best) -> list[str]:
    """What the best arm is and is not better than."""
    name, figures = best.arm.arm.name, best.arm
    lines = [
        f"The highest test accuracy of a chosen epoch is that of {name}: {percent(figures.test['chosen'].mean)} %"
        f" (95 % interval {bounds(figures.interval['chosen'])})."
    ]
    told = {"better": "better than", "not distinguishable": "not to be told apart from", "worse": "worse than"}
    for verdict, words_ in told.items():
        others = {other: paired for other, paired in best.differences.items() if paired.verdict == verdict}
        listed = [
            f"{other} ({points(paired.mean)} points, {interval(paired.interval)})"
            if len(others) <= _WITH_FIGURES
            else other
            for other, paired in others.items()
        ]
        if listed:
            lines.append(f"It is {words_} {'; '.join(listed)}.")
    if best.differences:
        lines.append("Which arm is highest was found on test, and so its figure is flattered.")
    return lines


def _notes(facts: ComparisonFacts, evidence: Evidence | None) -> dict[str, list[str]]:
    notes: dict[str, list[str]] = {}
    if facts.comparison is not None:
        images = len(facts.figures[0].arm.seeds[0].correct["chosen"])
        notes["data"] = [
            f"{facts.comparison.data[:1].upper()}{facts.comparison.data[1:]}; {images:,} test images."
            f" Recipe {facts.plan.recipe}, sha256 {facts.plan.recipe_sha256[:16]}…"
        ]
        notes["weaknesses"] = [without_marks(each) for each in facts.comparison.weaknesses]
        to_plain = told_plain(facts.figures)
        notes["differences"] = [
            without_marks(difference_in_words(each, to_plain)) for each in facts.figures if each.arm.reference
        ]
        notes["reading"] = [without_marks(each) for each in how_to_read(facts.figures)]
        notes["wins"] = [
            "An arm has an image right where its chosen student is right under more than half of its seeds."
        ]
    shared = shared_seconds(facts)
    if shared:
        parts = ", ".join(f"{stage} {seconds:,.1f}" for stage, seconds in shared.items())
        notes["cost"] = [
            f"Before the students, each made once and shared where the inputs are the same, in seconds: {parts}."
        ]
    if evidence is not None:
        every = facts.index
        total = len(evidence.indices) if every is None else len(every.splits["test"])
        some = f"{len(evidence.indices):,} of {total:,}" if len(evidence.indices) < total else f"all {total:,}"
        notes["evidence"] = [f"What one student of each arm says about {some} test images: {_students(facts)}."]
    return notes


def _students(facts: ComparisonFacts) -> str:
    """Under which seed the students that are shown were trained."""
    seeds = {arm: run.recipe.seed for arm, run in facts.first_runs.items()}
    if len(set(seeds.values())) == 1:
        return f"that of seed {next(iter(seeds.values()))}"
    return ", ".join(f"{arm}, seed {seed}" for arm, seed in seeds.items())


def _commands(facts: ComparisonFacts, folder: str) -> list[tuple[str, str]]:
    again = ("make this page again", f"tmkd-pipeline report {quote(folder)}")
    return [("go on" if facts.missing else "repeat it, or extend it by arms and seeds", facts.plan.command), again]
