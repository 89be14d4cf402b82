"""The whole report: machine, devices, runtimes, extras, and what a recipe needs."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.doctor.devices import examine_devices, read_driver
from pipeline.doctor.extras import examine_extras
from pipeline.doctor.finding import Finding
from pipeline.doctor.machine import examine_machine
from pipeline.doctor.needs import examine_caches, examine_recipe
from pipeline.doctor.providers import examine_onnx_runtime, examine_tensorrt
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.registry import STAGES


def diagnose(recipe: Recipe | None = None, *, network: bool = False) -> Iterator[Finding]:
    """Look at everything, one finding after the other.

    Args:
        recipe: what it asks for and is not here is a fault; None: what every installation may need.
        network: whether servers may be asked.
    """
    run_directory = None if recipe is None else Path("runs") / recipe.name
    yield from examine_machine(run_directory)
    driver = read_driver()
    yield from examine_devices(driver, "auto" if recipe is None else recipe.device)
    yield from examine_onnx_runtime(has_nvidia=driver is not None)
    yield from examine_tensorrt()
    yield from examine_extras()
    yield from examine_caches()
    if recipe is not None:
        stages = frozenset(stage.name for stage in STAGES if stage.skipped(recipe) is None)
        yield from _lacks(recipe, stages)
        yield from examine_recipe(recipe, stages, network=network)


def _lacks(recipe: Recipe, stages: frozenset[str]) -> Iterator[Finding]:
    """Packages, devices and runtimes that the recipe's stages ask for and that are not here."""
    from pipeline.preflight.without_run import foresee, key_of

    found = foresee(recipe, stages, ["machine"])
    for error in found.machine:
        key = key_of(error)
        found_here = error.message.removeprefix(f"{key}: ")
        about = key or "packages of the recipe"
        yield Finding(about, "fault", found_here, "its stages cannot run", error.remedy or "")
    for warning in found.warnings:
        yield Finding("lock", "note", warning)
