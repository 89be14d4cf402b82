"""What the stages `export`, `parity` and `bundle` do about TensorRT engines."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.bundle.manifest import ENGINE_SOURCES, ENGINES, variant_of
from exporters.core.files import read_json, write_bytes, write_json
from pipeline.console import Console
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.stage import StageContext

if TYPE_CHECKING:
    from exporters.artifacts.engines import EngineVerdict
    from exporters.artifacts.variants import Verdict
    from exporters.parity import Evidence, ParityGate
    from exporters.tensorrt import EngineSettings
    from exporters.tensorrt.progress import Progress

DESCRIBED = "engines.json"
BUILT_FROM = tuple(
    f"export.tensorrt.{key}"
    for key in (
        "precision",
        "library",
        "batch",
        "workspace_mib",
        "version_compatible",
        "hardware_compatible",
        "compute_capabilities",
    )
)
"""The settings that a plan follows from."""


def parity_gate(recipe: Recipe, precision: str) -> "ParityGate":
    """What the files and engines of a precision must keep to."""
    from exporters.parity import ParityGate

    return ParityGate(**getattr(recipe.parity, precision).model_dump())


def engine_settings(recipe: Recipe) -> "EngineSettings":
    """What the recipe says of engines."""
    from exporters.tensorrt import EngineSettings

    asked = recipe.export.tensorrt
    return EngineSettings(
        (asked.batch.min, asked.batch.opt, asked.batch.max),
        None if asked.workspace_mib is None else asked.workspace_mib * 2**20,
        asked.version_compatible,
        asked.hardware_compatible,
        tuple(asked.compute_capabilities),
    )


def check_machine(recipe: Recipe, *, run: bool) -> None:
    """Where engines are required: refuse a machine that cannot build them or, with `run`, cannot run them.

    Raises:
        UsageError, UnavailableError: as `exporters.artifacts.engines.check_machine`.
    """
    if recipe.export.tensorrt.when == "required":
        from exporters.artifacts.engines import check_library, check_machine

        check = check_machine if run else check_library
        check(engine_settings(recipe), recipe.export.tensorrt.library)


def make(context: StageContext, described: Mapping[str, Any]) -> dict[str, int]:
    """Build the engines into `export/engines/` and tell of them in `engines.json`; gives their sizes in bytes.

    The timing cache is in the run's cache, for the next time.

    Args:
        described: the content of `variants.json`.
    """
    from exporters.artifacts.engines import make_engines

    recipe, folder = context.recipe, context.run.folder("export")
    sources = {precision: folder / ENGINE_SOURCES[precision] for precision in recipe.export.engines}
    lost = {name for name, entry in described.items() if "not_made" in entry}
    made = make_engines(
        recipe.export.engines,
        {precision: path for precision, path in sources.items() if variant_of(path.name) not in lost},
        folder / ENGINES,
        engine_settings(recipe),
        library=recipe.export.tensorrt.library,
        islands={"fp16": described.get("fp16", {}).get("kept_float", ())},
        cache=context.run.cache / "tensorrt",
        required=recipe.export.tensorrt.when == "required",
        track=lambda name: _bar(context.console, name),
        say=context.console.say,
        warn=context.console.warn,
    )
    write_json(folder / DESCRIBED, {precision: engine.to_json() for precision, engine in made.items()})
    return {engine.file: engine.sidecar["plan"]["size"] for engine in made.values() if engine.sidecar is not None}


@contextmanager
def _bar(console: Console, name: str) -> "Iterator[Progress]":
    with console.track(f"building {name}", 100) as bar:
        done = 0

        def progress(_phase: str, share: float) -> None:
            nonlocal done
            now = int(100 * share)
            bar.advance(now - done)
            done = now

        yield progress


def prove(context: StageContext, evidence: "Evidence", sources: "Mapping[str, Verdict]") -> "dict[str, EngineVerdict]":
    """A verdict on each engine; what fails goes to `parity/rejected/`.

    Args:
        sources: the verdicts on the variants that were made.

    Raises:
        GateError: a stale or damaged engine.
    """
    from exporters.artifacts.engines import MadeEngine, after_source, prove_engine
    from exporters.tensorrt import read_sidecar, sidecar_path

    folder = context.run.folder("export")
    verdicts: dict[str, EngineVerdict] = {}
    for precision, entry in read_json(folder / DESCRIBED).items():
        plan, source = folder / ENGINES / entry["file"], folder / entry["source"]
        not_made = entry.get("not_made", "")
        engine = MadeEngine(precision, None if not_made else read_sidecar(sidecar_path(plan)), not_made)
        verdict = prove_engine(engine, plan.parent, source, evidence, parity_gate(context.recipe, precision))
        verdicts[precision] = verdict = after_source(verdict, sources.get(variant_of(entry["source"])))
        if verdict.status == "not proved":
            context.console.warn(
                f"{engine.file} is not proved and does not ship: {verdict.reason}. On a machine with a GPU:"
                " run again with --force export"
            )
        else:
            context.console.say(f"{engine.file}: {verdict.status}, {verdict.reason}")
        if verdict.status == "rejected":
            _reject(context.run.folder("parity") / "rejected", plan, verdict)
    return verdicts


def _reject(rejected: Path, plan: Path, verdict: "EngineVerdict") -> None:
    from exporters.tensorrt import sidecar_path

    for path in (plan, sidecar_path(plan)):
        write_bytes(rejected / path.name, path.read_bytes())
    write_json(rejected / f"{plan.name}.parity.json", verdict.to_json())
