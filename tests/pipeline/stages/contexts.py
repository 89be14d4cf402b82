"""A stage's context over a finished run."""

import io

from pipeline.console import Console
from pipeline.recipe import load_recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import StageContext
from tests.pipeline.conftest import Run


def context_of(run: Run, **overrides: object) -> StageContext:
    """The context that a stage would be given; keys of overrides have `__` for dots."""
    changes = [f"{key.replace('__', '.')}={value}" for key, value in overrides.items()]
    recipe = load_recipe(run.recipe, changes).recipe
    return StageContext(recipe, RunDirectory(run.directory), Console(io.StringIO(), plain=True), "fingerprint")
