"""What a comparison comes to, in a few sentences: which arm is best, whether that is shown, and which did not learn."""

from collections.abc import Sequence

from pipeline.comparison.analysis import ArmFigures, plain_arm
from pipeline.comparison.text import code, interval, percent, points


def headline(figures: Sequence[ArmFigures]) -> list[str]:
    """The findings as Markdown sentences, the most important one first, in bold.

    An arm counts as learned where its chosen student is above chance level on the test split under every seed. Only
    such an arm is called best, and it is called better than plain training only where the 95 % interval of the paired
    difference leaves out 0.

    Args:
        figures: of `analyse`, at least one.
    """
    learned = [each for each in figures if each.learned_seeds == len(each.arm.seeds)]
    images = len(figures[0].arm.seeds[0].correct["chosen"])
    if not learned:
        sentences = [_nothing_learned(figures, images)]
    elif len(figures) == 1:
        name, accuracy = code(figures[0].arm.name), percent(_accuracy(figures[0]))
        sentences = [f"**{name} reaches {accuracy} %** of {images:,} test images; no other arm was compared."]
    else:
        sentences = [_best(learned, plain_arm(figures), images)]
    if learned and len(learned) < len(figures):
        sentences.append(_failures([each for each in figures if each not in learned], len(figures)))
    if max(len(each.arm.seeds) for each in figures) == 1:
        sentences.append("With one seed, take this as a hint.")
    return sentences


def _best(learned: Sequence[ArmFigures], plain: ArmFigures | None, images: int) -> str:
    highest = max(learned, key=_accuracy)
    name, of = code(highest.arm.name), f"{percent(_accuracy(highest))} % of {images:,} test images"
    if len(learned) == 1:
        who = f"Plain training ({name})" if highest is plain else name
        return f"**{who} is the only arm that learned**, with {of}."
    if plain is None:
        return (
            f"**{name} has the highest accuracy**, {of}. Plain training (`ce`) is not among the arms, so that nothing"
            " here says whether a teacher helps."
        )
    if plain not in learned:
        return f"**{name} has the highest accuracy**, {of}; plain training ({_ce(plain)}) did not learn{_under(plain)}."
    if highest is plain:
        return f"**No arm is above plain training** ({name}), which has {of}."
    better = [each for each in learned if each.plain is not None and each.plain["chosen"].verdict == "better"]
    if not better:
        return f"**No arm is shown to be better than plain training** ({_ce(plain)}). {_highest(highest)}"
    best = max(better, key=_accuracy)
    assert best.plain is not None
    paired = best.plain["chosen"]
    shown = (
        f"**{code(best.arm.name)} is best here**, with {percent(_accuracy(best))} % of {images:,} test images:"
        f" {points(paired.mean)} points against plain training ({_ce(plain)}), 95 % interval"
        f" {interval(paired.interval)}."
    )
    return shown if best is highest else f"{shown} {_highest(highest)}"


def _highest(arm: ArmFigures) -> str:
    """The arm with the highest accuracy, where its difference to plain training is not shown."""
    begin = f"The highest figure, {percent(_accuracy(arm))} % of {code(arm.arm.name)},"
    if arm.plain is None:
        return f"{begin} has no seed in common with plain training."
    paired = arm.plain["chosen"]
    return (
        f"{begin} differs from plain training by {points(paired.mean)} points, and the 95 % interval"
        f" {interval(paired.interval)} holds 0."
    )


def _nothing_learned(figures: Sequence[ArmFigures], images: int) -> str:
    return (
        f"**No arm learned**: each has a student that is not above chance level ({_chance(figures[0])} of {images:,}"
        " test images, by always answering the commonest class). The differences are noise. Train longer, or look at"
        " the labels (`data inspect`)."
    )


def _failures(failed: Sequence[ArmFigures], arms: int) -> str:
    return (
        f"**{len(failed)} of {arms} arms did not learn**: {', '.join(map(_failure, failed))}; not above chance level,"
        f" which is {_chance(failed[0])} by always answering the commonest class."
    )


def _failure(each: ArmFigures) -> str:
    under = _under(each)
    return code(each.arm.name) + (f" ({under.lstrip()})" if under else "")


def _under(failed: ArmFigures) -> str:
    """Under how many seeds an arm did not learn; nothing where that is all of them."""
    seeds = len(failed.arm.seeds)
    return f" under {seeds - failed.learned_seeds} of {seeds} seeds" if failed.learned_seeds else ""


def _accuracy(figures: ArmFigures) -> float:
    return figures.test["chosen"].mean


def _ce(plain: ArmFigures) -> str:
    return f"{code(plain.arm.name)}, {percent(_accuracy(plain))} %"


def _chance(figures: ArmFigures) -> str:
    return f"{percent(figures.arm.seeds[0].chance)} %"
