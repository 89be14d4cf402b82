"""A pipeline of three stages of a few lines."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.console import Console
from pipeline.preflight import Preflight
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.engine import execute
from pipeline.runner.planning import plan
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import Stage, StageContext

RECIPE = Recipe()


class Copying(Stage):
    """Writes what it was set to and all that the stages before it wrote."""

    libraries = ("numpy",)

    def __init__(self, name: str, *before: str) -> None:
        self.name = name  # type: ignore[misc]
        self.before = before
        self.values: dict[str, Any] = {}
        self.outside: dict[str, str] = {}
        self.reason: str | None = None
        self.action: Callable[[Path], None] = lambda folder: None
        self.runs = 0

    def skipped(self, recipe: Recipe) -> str | None:
        return self.reason

    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        return self.before

    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        return self.values

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        return self.outside

    def run(self, context: StageContext) -> dict[str, Any]:
        self.runs += 1
        folder = self.folder(context)
        read = [(context.run.folder(name) / "text").read_text() for name in self.before]
        self.action(folder)
        (folder / "text").write_text(f"{self.values.get('text', '')}{''.join(read)}")
        return {"runs": self.runs}


class Line:
    """Three stages in a line, on a directory."""

    def __init__(self, path: Path) -> None:
        self.stages = [Copying("a"), Copying("b", "a"), Copying("c", "b")]
        self.a, self.b, self.c = self.stages
        self.directory = RunDirectory(path)
        self.out = io.StringIO()

    def execute(self, **options: Any) -> list[str]:
        """The names of the stages that ran."""
        before = [stage.runs for stage in self.stages]
        try:
            execute(self.stages, RECIPE, self.directory, Console(self.out, plain=True), Preflight, **options)
        finally:
            ran = [stage.name for stage, count in zip(self.stages, before, strict=True) if stage.runs > count]
        return ran

    def plan(self, **options: Any) -> list[tuple[str, str]]:
        planned = plan(self.stages, RECIPE, self.directory, **options)
        assert [step.stage for step in planned] == ["a", "b", "c"]
        return [(step.action, "; ".join(step.why)) for step in planned]

    def status(self) -> list[str | None]:
        records = [self.directory.record(stage.name) for stage in self.stages]
        return [record.status if record else None for record in records]
