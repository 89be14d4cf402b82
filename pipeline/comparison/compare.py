"""The whole of `compare`: arms, runs, results, report."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.core.errors import GateError, TmkdError, UnavailableError
from exporters.core.locks import held
from exporters.core.wording import count_of
from exporters.images.outputs import mark_output
from pipeline.comparison.arms import Source, make_arms
from pipeline.comparison.execute import PlannedRun, execute_runs, plan_runs
from pipeline.comparison.headline import headline
from pipeline.comparison.planned import RESULT, Planned, make_comparison, planned, read_results
from pipeline.comparison.report import console_table, write_report
from pipeline.comparison.results import ArmResult, SeedResult, widest_teacher
from pipeline.comparison.text import without_marks
from pipeline.evaluation.gates import judge_student
from pipeline.evaluation.teacher import PlainAccuracy, teacher_weaknesses
from pipeline.report.page.write import PAGE

if TYPE_CHECKING:
    from pipeline.console import Console


SHARED_AUGMENTATION = (
    "The seeds share their augmentation, so that the teachers look at each image once for all of them"
    " (distill.teacher_cache.share): a seed varies initialisation and order alone, and what is told of the scatter over"
    " seeds leaves augmentation out. distill.teacher_cache.share=none gives each seed its own."
)
"""What a reader must know of a comparison whose seeds share a teacher cache."""


def compare(
    source: Source,
    *,
    methods: Sequence[str],
    seeds: int,
    bases: Sequence[str] | None,
    ablate: Sequence[str] | None,
    weightings: Sequence[str] | None,
    folder: Path,
    command: Sequence[str],
    page: bool,
    console: "Console",
) -> None:
    """Train the same student under several methods and seeds, and report what can and what cannot be told apart.

    Args:
        source: the recipe; its seed is the first.
        methods, bases, ablate, weightings: see `make_arms`.
        seeds: how many, 1 or more.
        folder: where everything goes.
        command: the command line, for the report.
        page: whether `report.html` is written at the end.
        console: for what a person should see.

    Raises:
        UsageError: arguments that make no comparison.
        GateError: a run did not come through; the report of the others is written.
        TmkdError: something that the runs need is missing, or another comparison writes there.
    """
    recipe = source.load()
    arms = make_arms(source, methods, bases, ablate, weightings)
    runs = plan_runs(folder, source, arms, range(recipe.seed, recipe.seed + seeds))
    mark_output(folder)
    plan = planned(recipe, arms, range(recipe.seed, recipe.seed + seeds), command)
    with held(folder / ".compare.lock", lambda process: _refusal(folder, process)):
        _compare(source, plan, runs, folder, page, console)


def _refusal(folder: Path, process: str) -> UnavailableError:
    return UnavailableError(
        f"{folder} is held by another comparison (process {process})",
        remedy="Wait for it to end, or choose another directory: --run-dir DIR",
    )


def _compare(
    source: Source,
    plan: Planned,
    runs: Sequence[PlannedRun],
    folder: Path,
    page: bool,
    console: "Console",
) -> None:
    count = len(plan.seeds)
    console.say(f"{len(plan.arms)} arms × {count_of(count, 'seed')} = {len(runs)} runs in {folder}")
    plan.write(folder)
    before = _bytes_of(folder / RESULT)
    try:
        failed, ran = execute_runs(folder, source, runs, console)
    except TmkdError:
        if page:
            _write_page(folder, console)
        raise
    results = read_results(folder, plan, {(run.arm.name, run.seed) for run in runs if run.label not in failed})
    if results:
        weaknesses = (*_weaknesses(source, results), *(f"{label}: {message}" for label, message in failed.items()))
        comparison = make_comparison(folder, plan, results, weaknesses)
        figures = write_report(comparison, folder)
        title, columns, rows, words = console_table(comparison, figures)
        console.table(title, columns, rows, words=words)
        for sentence in headline(figures):
            console.say(without_marks(sentence))
        for weakness in comparison.weaknesses:
            console.warn(weakness)
        console.say(f"report: {folder / 'compare.md'}, with compare.json and compare.png beside it")
    if page and (ran or before != _bytes_of(folder / RESULT) or not (folder / PAGE).is_file()):
        _write_page(folder, console)
    if failed:
        raise GateError(
            f"{len(failed)} of {len(runs)} runs did not come through: {', '.join(failed)}",
            remedy="The messages are above. Finished runs are kept; the same command goes on with the others.",
        )


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _write_page(folder: Path, console: "Console") -> None:
    """The page, which is no reason for a comparison to fail."""
    from pipeline.comparison.page.write import write_page
    from pipeline.distributed.ranks import this_rank

    if not this_rank().leads:
        return
    try:
        console.say(f"page: {write_page(folder, console)}")
    except (TmkdError, OSError) as error:
        console.warn(f"no page was written: {error}")


def _weaknesses(source: Source, results: tuple[ArmResult, ...]) -> list[str]:
    """What a reader must know against the comparison."""
    teacher = widest_teacher(results)
    plain = next((PlainAccuracy(_mean_validation(arm.seeds)) for arm in results if arm.method == "ce"), None)
    found = teacher_weaknesses(teacher["validation"], plain) if teacher else []
    if any(len(arm.seeds) > 1 for arm in results) and _seeds_share_augmentation(source):
        found.append(SHARED_AUGMENTATION)
    gates = source.load().gates
    for arm in results:
        teacher_top1 = teacher["validation"]["views"]["rgb"] if teacher else None
        missed = [
            gate.describe()
            for gate in judge_student(gates, _mean_validation(arm.seeds), teacher_top1)
            if not gate.passed
        ]
        if missed:
            found.append(f"{arm.name} would not pass the recipe's gates on average: {'; '.join(missed)}.")
    return found


def _seeds_share_augmentation(source: Source) -> bool:
    cache = source.load().distill.teacher_cache
    return cache.passes > 0 and cache.share != "none"


def _mean_validation(seeds: Sequence[SeedResult]) -> float:
    return sum(seed.validation["chosen"] for seed in seeds) / len(seeds)
