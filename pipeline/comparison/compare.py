"""The whole of `compare`: arms, runs, results, report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from exporters.core.errors import GateError, UnavailableError
from exporters.core.files import sha256_bytes
from exporters.core.locks import held
from exporters.images.outputs import mark_output
from pipeline.comparison.arms import Arm, Source, make_arms
from pipeline.comparison.execute import PlannedRun, execute_runs, plan_runs
from pipeline.comparison.headline import headline
from pipeline.comparison.report import console_table, write_report
from pipeline.comparison.results import ArmResult, Comparison, SeedResult, read_result, widest_teacher
from pipeline.data.index import DataIndex
from pipeline.evaluation.gates import judge_student
from pipeline.evaluation.teacher import PlainAccuracy, teacher_weaknesses
from pipeline.recipe.reading.overrides import parse_override

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
    folder: Path | None,
    command: Sequence[str],
    console: "Console",
) -> None:
    """Train the same student under several methods and seeds, and report what can and what cannot be told apart.

    Args:
        source: the recipe; its seed is the first.
        methods, bases, ablate, weightings: see `make_arms`.
        seeds: how many, 1 or more.
        folder: where everything goes; None: `runs/<recipe name>-compare`.
        command: the command line, for the report.
        console: for what a person should see.

    Raises:
        UsageError: arguments that make no comparison.
        GateError: a run did not come through; the report of the others is written.
        TmkdError: something that the runs need is missing, or another comparison writes there.
    """
    recipe = source.load()
    arms = make_arms(source, methods, bases, ablate, weightings)
    folder = folder or Path("runs") / f"{recipe.name}-compare"
    runs = plan_runs(folder, source, arms, range(recipe.seed, recipe.seed + seeds))
    mark_output(folder)
    with held(folder / ".compare.lock", lambda process: _refusal(folder, process)):
        _compare(source, arms, runs, seeds, folder, command, console)


def _refusal(folder: Path, process: str) -> UnavailableError:
    return UnavailableError(
        f"{folder} is held by another comparison (process {process})",
        remedy="Wait for it to end, or choose another directory: --run-dir DIR",
    )


def _compare(
    source: Source,
    arms: Sequence[Arm],
    runs: Sequence[PlannedRun],
    seeds: int,
    folder: Path,
    command: Sequence[str],
    console: "Console",
) -> None:
    recipe = source.load()
    console.say(f"{len(arms)} arms × {seeds} {'seed' if seeds == 1 else 'seeds'} = {len(runs)} runs in {folder}")
    failed = execute_runs(folder, source, runs, console)
    results = tuple(
        result for arm in arms if (result := _result(arm, [run for run in runs if run.arm == arm], failed)).seeds
    )
    if results:
        names = {arm.name for arm in results}
        comparison = Comparison(
            recipe=recipe.name,
            recipe_sha256=sha256_bytes(recipe.to_yaml().encode()),
            command=" ".join(map(quote, command)),
            data=_describe_data(recipe.data.dataset, runs, failed),
            teacher=widest_teacher(results),
            arms=tuple(arm if arm.reference in names else replace(arm, reference=None) for arm in results),
            weaknesses=(*_weaknesses(source, results), *(f"{label}: {message}" for label, message in failed.items())),
        )
        figures = write_report(comparison, folder)
        title, columns, rows, words = console_table(comparison, figures)
        console.table(title, columns, rows, words=words)
        for sentence in headline(figures):
            console.say(sentence.replace("**", "").replace("`", ""))
        for weakness in comparison.weaknesses:
            console.warn(weakness)
        console.say(f"report: {folder / 'compare.md'}, with compare.json and compare.png beside it")
    if failed:
        raise GateError(
            f"{len(failed)} of {len(runs)} runs did not come through: {', '.join(failed)}",
            remedy="The messages are above. Finished runs are kept; the same command goes on with the others.",
        )


def _result(arm: Arm, runs: Sequence[PlannedRun], failed: dict[str, str]) -> ArmResult:
    finished = [run for run in runs if run.label not in failed]
    changes = [parse_override(override) for override in arm.overrides]
    return ArmResult(
        name=arm.name,
        method=arm.method,
        base=arm.base,
        settings={".".join(change.path): change.value for change in changes},
        reference=arm.reference,
        seeds=tuple(read_result(run.directory, run.seed, f"runs/{arm.folder}/seed-{run.seed}") for run in finished),
        ablates=arm.ablates,
    )


def _describe_data(dataset: str, runs: Sequence[PlannedRun], failed: dict[str, str]) -> str:
    run = next(run for run in runs if run.label not in failed)
    index = DataIndex.load(run.directory.folder("data"))
    return f"{dataset}, {len(index.classes)} classes, {len(index.splits['train']):,} training images"


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
