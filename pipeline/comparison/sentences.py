"""What is said of differences, and how a comparison is read, in Markdown: for `compare.md` and for the page."""

import math
from collections.abc import Iterator, Sequence

from exporters.core.wording import count_of, p_value
from pipeline.comparison.analysis import ArmFigures, plain_arm
from pipeline.comparison.text import code, interval, points


def told_plain(figures: Sequence[ArmFigures]) -> ArmFigures | None:
    """Plain training, where differences to it say more than those to the references; else None."""
    further = any(each.plain is not None and each.plain is not each.paired for each in figures)
    return plain_arm(figures) if further else None


def difference_in_words(each: ArmFigures, to_plain: ArmFigures | None) -> str:
    """The difference of an arm to its reference as Markdown.

    Args:
        each: an arm that has a reference.
        to_plain: plain training, where its difference to that is told too.
    """
    name, reference = code(each.arm.name), code(each.arm.reference or "")
    if each.paired is None:
        return f"{name} and its reference {reference} have no seed in common: no difference can be given."
    paired, final = each.paired["chosen"], each.paired["final"]
    size, bounds = f"{abs(100 * paired.mean):.2f} points", f"95 % interval {interval(paired.interval)}"
    if paired.verdict == "not distinguishable":
        sentence = f"{name} is **not distinguishable** from {reference}: {points(paired.mean)} points, {bounds}."
    else:
        sentence = f"{name} is **{paired.verdict}** than {reference} by {size}, {bounds}."
    if paired.t_interval is not None:
        t = f"Student's t over {len(paired.seeds)} seeds alone gives {interval(paired.t_interval)}"
        if paired.seeds_alone_suffice and paired.verdict == "not distinguishable":
            t += ", which leaves out 0: the seeds agree, but other test images might not"
        elif not paired.seeds_alone_suffice and paired.verdict != "not distinguishable":
            t += ", which holds 0: so few seeds alone do not show it"
        sentence += f" {t}."
    elif len(paired.seeds) > 1:
        sentence += (
            f" The difference is the same under all {len(paired.seeds)} seeds, which says nothing of their luck."
        )
    if to_plain is not None and each.plain is not None and each.plain is not each.paired:
        against = each.plain["chosen"]
        sentence += (
            f" Against plain training ({code(to_plain.arm.name)}): {against.verdict}, {points(against.mean)}"
            f" {interval(against.interval)}."
        )
    sentence += f" Last epoch: {final.verdict}, {points(final.mean)} {interval(final.interval)}."
    tests = "; ".join(
        f"seed {seed}: {test.gained} to {test.lost}, {p_value(test.p)}"
        for seed, test in zip(paired.seeds, paired.mcnemar, strict=True)
    )
    return f"{sentence} Images that only one of the two has right (McNemar): {tests}."


def how_to_read(figures: Sequence[ArmFigures]) -> Iterator[str]:
    """What figures and words of a comparison mean, as paragraphs of Markdown."""
    yield (
        "Each student is scored twice: after the epoch with the best accuracy on validation (*chosen*), and after the"
        " last epoch. The test split chose nothing. The validation figure of the chosen epoch is the best of many, and"
        " so is flattered; its test figure is not. Who now picks the best arm by its test figure flatters that one."
    )
    yield (
        "A *difference* is the arm's test accuracy minus that of its reference, under the same seed and on the same"
        " images, in percentage points; in brackets its 95 % interval, in parentheses the seeds. The reference of a"
        " TMKD arm has the same losses, sees the plain images alone (views [rgb]) and has no contrast: the difference"
        " is what the views, their weights and the contrast are worth, and not what one more loss is worth."
    )
    yield (
        "The interval is a bootstrap over test images and seeds. It covers the luck of which images were drawn for"
        " testing and, as far as the seeds can tell, that of initialisation, order and augmentation. It does not cover"
        " another data set, split, teacher, student or schedule. A difference whose interval holds 0 is called *not"
        " distinguishable*: this comparison can tell neither that there is one nor that there is none."
    )
    yield _about_seeds(min(len(each.arm.seeds) for each in figures))
    judged = sum(each.paired is not None for each in figures)
    judged += sum(each.plain is not None and each.plain is not each.paired for each in figures)
    if judged > 1:
        yield (
            f"{judged} differences are judged here, each by itself. Were none of them real, up to {0.05 * judged:.2g}"
            " of their intervals would still be expected to leave out 0."
        )
    yield (
        "Seconds per epoch are the median time of training for one epoch, without scoring, on the machine that ran it;"
        " what else ran there is in them."
    )


def _about_seeds(count: int) -> str:
    if count == 1:
        return (
            "With one seed, the interval covers the images alone. The luck of a seed is often as large as the"
            " differences between methods, and is not in it: take such a difference as a hint."
        )
    return (
        f"{count_of(count, 'seed')} show the luck of seeds roughly: a standard deviation from so few values is itself"
        f" uncertain by about {100 / math.sqrt(2 * (count - 1)):.0f} %. Student's interval rests on the seeds alone and"
        " knows nothing of the luck of the images; the bootstrap knows both, and is cautious where the seeds differ by"
        " little. Where the two disagree, more seeds should decide."
    )
