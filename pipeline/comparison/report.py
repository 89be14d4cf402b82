"""What a comparison leaves behind: `compare.json`, `compare.md`, `compare.png`, and a table on the console."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from exporters.core.files import dump_json, write_bytes, write_text
from pipeline.comparison.analysis import ArmFigures, analyse
from pipeline.comparison.best import best_arm
from pipeline.comparison.headline import headline
from pipeline.comparison.markdown import to_markdown
from pipeline.comparison.results import WHICH, ArmResult, Comparison, Which
from pipeline.comparison.text import NONE, difference, interval, seconds, spread
from pipeline.comparison.wins import Wins, wins
from pipeline.evaluation.paired import LEVEL, RESAMPLES, PairedDifference

FORMAT = 1


def write_report(comparison: Comparison, folder: Path) -> tuple[ArmFigures, ...]:
    """Write the three files into a folder; the same results give the same bytes.

    Raises:
        ValueError: as `analyse`.
    """
    from pipeline.comparison.figure import draw_png

    figures = analyse(comparison)
    write_text(folder / "compare.json", dump_json(to_json(comparison, figures)))
    write_text(folder / "compare.md", to_markdown(comparison, figures))
    write_bytes(folder / "compare.png", draw_png(figures))
    return figures


def to_json(comparison: Comparison, figures: tuple[ArmFigures, ...]) -> dict[str, Any]:
    """Everything as JSON values; accuracies and differences are shares, not per cent."""
    found, best = wins(figures), best_arm(figures)
    return {
        "format": FORMAT,
        "recipe": {"name": comparison.recipe, "sha256": comparison.recipe_sha256},
        "command": comparison.command,
        "data": comparison.data,
        "headline": headline(figures),
        "test_images": len(figures[0].arm.seeds[0].correct["chosen"]),
        "chance": figures[0].arm.seeds[0].chance,
        "teacher": comparison.teacher or None,
        "interval": {"level": LEVEL, "method": "bootstrap over seeds and images", "resamples": RESAMPLES},
        "best": None
        if best is None
        else {
            "arm": best.arm.arm.name,
            "differences": {name: _difference(paired) for name, paired in best.differences.items()},
        },
        "arms": [_arm(each) | {"images": _images(found, number)} for number, each in enumerate(figures)],
        "weaknesses": list(comparison.weaknesses),
    }


def _arm(each: ArmFigures) -> dict[str, Any]:
    arm = each.arm
    return {
        "name": arm.name,
        "method": arm.method,
        "base": arm.base,
        "ablates": arm.ablates,
        "settings": dict(arm.settings),
        "reference": arm.reference,
        "seeds": _seeds(arm),
        "test": {which: asdict(each.test[which]) for which in WHICH},
        "test_interval": {which: list(each.interval[which]) for which in WHICH},
        "validation": {which: asdict(each.validation[which]) for which in WHICH},
        "seconds_per_epoch": asdict(each.seconds_per_epoch),
        "learned_seeds": each.learned_seeds,
        "nll": None if each.nll is None else asdict(each.nll),
        "ece": None if each.ece is None else asdict(each.ece),
        "corrupted": {kind: asdict(value) for kind, value in each.corrupted.items()} or None,
        "difference": None if each.paired is None else _differences(each.paired),
        "difference_to_ce": None if each.plain is None else _differences(each.plain),
    }


def _seeds(arm: ArmResult) -> list[dict[str, Any]]:
    return [
        {
            "seed": result.seed,
            "run": result.run,
            "validation": dict(result.validation),
            "test": dict(result.test),
            "test_correct": {which: int(result.correct[which].sum()) for which in WHICH},
            "seconds_per_epoch": result.seconds_per_epoch,
            "nll": result.nll,
            "ece": result.ece,
            "corrupted": None if result.corrupted is None else dict(result.corrupted),
            "teacher": None if result.teacher is None else dict(result.teacher),
            **({} if result.chose is None else {"chose": result.chose}),
        }
        for result in arm.seeds
    ]


def _differences(paired: Mapping[Which, PairedDifference]) -> dict[str, Any]:
    return {which: _difference(paired[which]) for which in WHICH}


def _difference(paired: PairedDifference) -> dict[str, Any]:
    return asdict(paired) | {"verdict": paired.verdict}


def _images(found: Wins, arm: int) -> dict[str, Any]:
    """How many test images an arm has right under more than half of its seeds, and where others have not."""
    return {
        "right": int(found.right[arm].sum()),
        "only_this_right": int(found.alone_right[arm].sum()),
        "only_this_wrong": int(found.alone_wrong[arm].sum()),
        "over": {
            name: int(count)
            for number, (name, count) in enumerate(zip(found.names, found.over[arm], strict=True))
            if number != arm
        },
    }


def console_table(
    comparison: Comparison, figures: tuple[ArmFigures, ...]
) -> tuple[str, list[str], list[list[str]], int]:
    """Title, columns, rows and how many columns are words: the arguments of `Console.table`."""
    columns = [
        *("test top-1, %", "reference", "chosen epoch", "last epoch", "validation", "difference", "95 %", "s/epoch")
    ]
    rows = []
    for each in figures:
        paired = each.paired["chosen"] if each.paired is not None else None
        rows.append(
            [
                each.arm.name,
                each.arm.reference or NONE,
                spread(each.test["chosen"]),
                spread(each.test["final"]),
                spread(each.validation["chosen"]),
                difference(paired) if paired else NONE,
                interval(paired.interval) if paired else NONE,
                seconds(each.seconds_per_epoch),
            ]
        )
    most = max(len(each.arm.seeds) for each in figures)
    title = f"{comparison.recipe}: {len(figures)} arms, {most} {'seed' if most == 1 else 'seeds'} (mean ± std, points)"
    return title, columns, rows, 2
