"""`compare.md`: a comparison for people, saying where an arm is worse as plainly as where it is better."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exporters.core.markdown import markdown_table
from exporters.core.wording import count_of, p_value
from pipeline.comparison.analysis import ArmFigures, ablations, main_arms, plain_arm
from pipeline.comparison.headline import headline
from pipeline.comparison.results import Comparison
from pipeline.comparison.text import (
    NONE,
    code,
    difference,
    interval,
    nats,
    percent,
    points,
    seconds,
    seeds,
    spread,
)
from pipeline.evaluation.paired import PairedDifference

_ACCURACIES = ("test, chosen epoch", "test, last epoch", "validation, chosen epoch")
_TO_REFERENCE = ("reference", "difference to it, points")
_TO_PLAIN = "difference to {}, points"
_COST = ("s / epoch", "seeds")


def to_markdown(comparison: Comparison, figures: tuple[ArmFigures, ...]) -> str:
    """The whole document; the same figures give the same text.

    Args:
        comparison: what was compared.
        figures: `analyse(comparison)`.
    """
    return "\n".join(_document(comparison, figures)) + "\n"


def _document(comparison: Comparison, figures: tuple[ArmFigures, ...]) -> Iterator[str]:
    images = len(figures[0].arm.seeds[0].correct["chosen"])
    to_plain = told_plain(figures)
    differences = _TO_REFERENCE + ((_TO_PLAIN.format(code(to_plain.arm.name)),) if to_plain else ())
    yield f"# Comparison: {comparison.recipe}\n"
    yield f"{' '.join(headline(figures))}\n"
    yield f"{_upper(comparison.data)}; {images:,} test images. Recipe `{comparison.recipe}`,"
    yield f"sha256 `{comparison.recipe_sha256}`. Made by:\n"
    yield f"```bash\n{comparison.command}\n```\n"
    yield f"{_overview([each.paired['chosen'].verdict for each in figures if each.paired is not None])}\n"
    yield "![Accuracy of every arm, and differences to the references](compare.png)\n"
    yield "## Arms\n"
    yield "Top-1 accuracy in per cent, mean ± standard deviation over seeds.\n"
    columns: tuple[str, ...] = ("arm", *_ACCURACIES, *differences, *_COST)
    yield from markdown_table(columns, [_row(each, to_plain) for each in main_arms(figures)], len(columns))
    yield from (f"\n{_choices(each)}" for each in figures if any(result.chose for result in each.arm.seeds))
    for base, group in ablations(figures).items():
        yield f"\n## Ablation on {code(base)}\n"
        whole = [each for each in main_arms(figures) if each.arm.base == base]
        if whole:
            yield f"The first {'row is' if len(whole) == 1 else 'rows are'} of the table above, to compare.\n"
        columns = ("arm", "turns", *_ACCURACIES, *differences, "fused teacher, test", *_COST)
        yield from markdown_table(columns, [_ablation_row(each, to_plain) for each in (*whole, *group)], len(columns))
    if any(each.nll is not None for each in figures):
        yield "\n## Probabilities and corruptions\n"
        yield from _beyond_accuracy(figures)
    if any(each.arm.reference for each in figures):
        yield "\n## The differences in words\n"
        yield from (f"- {difference_in_words(each, to_plain)}" for each in figures if each.arm.reference)
    yield "\n## What each arm changes against the recipe\n"
    yield from (f"- {code(each.arm.name)}: {_settings(each.arm.settings)}" for each in figures)
    yield "\n## The teacher\n"
    yield _teacher(comparison.teacher)
    if comparison.weaknesses:
        yield "\n## Weaknesses of this comparison\n"
        yield from (f"- {weakness}" for weakness in comparison.weaknesses)
    yield "\n## How to read this\n"
    yield "\n\n".join(how_to_read(figures))


def told_plain(figures: Sequence[ArmFigures]) -> ArmFigures | None:
    """Plain training, where differences to it say more than those to the references; else None."""
    further = any(each.plain is not None and each.plain is not each.paired for each in figures)
    return plain_arm(figures) if further else None


def _row(each: ArmFigures, to_plain: ArmFigures | None) -> list[str]:
    return [
        code(each.arm.name),
        spread(each.test["chosen"]),
        spread(each.test["final"]),
        spread(each.validation["chosen"]),
        NONE if each.arm.reference is None else code(each.arm.reference),
        _difference_cell(each),
        *((_plain_cell(each),) if to_plain else ()),
        seconds(each.seconds_per_epoch),
        seeds(each),
    ]


def _beyond_accuracy(figures: tuple[ArmFigures, ...]) -> Iterator[str]:
    """The table of likelihood, calibration and, where it was measured, accuracy on corrupted images."""
    kinds = next((tuple(each.corrupted) for each in figures if each.corrupted), ())
    kinds = tuple(sorted(kinds, key="mean".__ne__))  # the mean first, the others as they were
    text = (
        "Test split, chosen epoch: negative log-likelihood in nats and expected calibration error (15 bins) in per"
        " cent, both better where they are lower"
    )
    if kinds:
        text += "; top-1 accuracy in per cent on corrupted images, the mean of severities 1, 3 and 5"
    yield f"{text}.\n"
    columns = ("arm", "NLL", "ECE", *("corrupted, all" if kind == "mean" else kind.replace("_", " ") for kind in kinds))
    yield from markdown_table(
        columns,
        [
            [
                code(each.arm.name),
                nats(each.nll),
                NONE if each.ece is None else spread(each.ece),
                *(spread(each.corrupted[kind]) if each.corrupted else NONE for kind in kinds),
            ]
            for each in figures
        ],
        len(columns),
    )


def _choices(each: ArmFigures) -> str:
    """What an arm of `auto` chose, and under how many seeds."""
    chosen = Counter(result.chose for result in each.arm.seeds if result.chose)
    found = ", ".join(f"{code(name)} ({count_of(number, 'seed')})" for name, number in chosen.most_common())
    return f"{code(each.arm.name)} chose {found}."


def _plain_cell(each: ArmFigures) -> str:
    if each.plain is None:
        return NONE
    return f"{difference(each.plain['chosen'])} {interval(each.plain['chosen'].interval)}"


def _ablation_row(each: ArmFigures, to_plain: ArmFigures | None) -> list[str]:
    name, *middle, time, run_seeds = _row(each, to_plain)
    teacher = each.arm.seeds[0].teacher
    fused = percent(teacher["test"]["fused"]) if teacher else NONE
    return [name, each.arm.ablates or NONE, *middle, fused, time, run_seeds]


def _difference_cell(each: ArmFigures) -> str:
    if each.paired is None:
        return NONE
    paired = each.paired["chosen"]
    by_seed = f" ({_by_seed(paired)})" if len(paired.seeds) > 1 else ""
    return f"{difference(paired)} {interval(paired.interval)}{by_seed}"


def _by_seed(paired: PairedDifference) -> str:
    return ", ".join(points(value) for value in paired.differences)


def _overview(verdicts: Sequence[str]) -> str:
    if not verdicts:
        return "No arm has a reference here, so that no difference is judged."
    if len(verdicts) == 1:
        return f"One arm has a reference, and is **{_against(verdicts[0])}** it (test split, chosen epoch)."
    counts = {verdict: verdicts.count(verdict) for verdict in ("better", "worse", "not distinguishable")}
    found = [f"{count} {_is(count)} {verdict}" for verdict, count in counts.items() if count]
    missing = [verdict for verdict in ("better", "worse") if not counts[verdict]]
    none = f"; none is {' or '.join(missing)}" if missing else ""
    verdict_counts = ", ".join([*found[:-1], f"and {found[-1]}"] if len(found) > 1 else found)
    return f"Paired with its reference, of {len(verdicts)} arms **{verdict_counts}** (test split, chosen epoch){none}."


def _against(verdict: str) -> str:
    return f"{verdict} from" if verdict == "not distinguishable" else f"{verdict} than"


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


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(code(f"{key}={_value(settings[key])}") for key in sorted(settings)) or "nothing"


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)


def _teacher(teacher: Mapping[str, Any]) -> str:
    if not teacher:
        return "No arm has one."
    views = sorted(teacher["test"]["views"], key="rgb".__ne__)  # rgb first, the others as they were
    parts = [f"{view} {percent(teacher['test']['views'][view])} %" for view in views]
    line = f"Test top-1 of the teacher: {', '.join(parts)}"
    if len(views) == 1:
        return f"{line}. On validation: {percent(teacher['validation']['views'][views[0]])} %."
    test, validation = teacher["test"], teacher["validation"]
    best = max(test["views"][view] for view in views)
    gain = test["fused"] - best
    fusion = f"{points(gain)} points against its best view" + ("" if gain > 0 else ": fusing does not help here")
    on_validation = [f"{view} {percent(validation['views'][view])} %" for view in views]
    return (
        f"{line}; fused without labels {percent(test['fused'])} % ({fusion}). With the true labels, an oracle that"
        f" decides nothing: {percent(test['oracle'])} %. On validation: {', '.join(on_validation)}, fused"
        f" {percent(validation['fused'])} %."
    )


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


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
