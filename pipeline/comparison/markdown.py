"""`compare.md`: a comparison for people, saying where an arm is worse as plainly as where it is better."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exporters.core.markdown import markdown_table
from exporters.core.wording import count_of
from pipeline.comparison.analysis import ArmFigures, ablations, main_arms
from pipeline.comparison.headline import headline
from pipeline.comparison.results import Comparison
from pipeline.comparison.sentences import difference_in_words, how_to_read, told_plain
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


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
