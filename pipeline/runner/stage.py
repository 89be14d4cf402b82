"""What a stage is: a step from files to files, with a name, the settings that it follows from, and its work."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipeline.console import Console
from pipeline.recipe.in_effect import settings_in_effect
from pipeline.recipe.schema.recipe import Recipe
from pipeline.recipe.schema.weights import SECTIONS
from pipeline.runner.rundir import RunDirectory

_HASHES = frozenset(".".join((*section, "sha256")) for section in SECTIONS)
_PRESETS = frozenset({"teacher.visual.fit.preset", "train.preset"})


@dataclass(frozen=True)
class StageContext:
    """What a stage is given when it runs.

    Attributes:
        recipe: the recipe, every default filled in.
        run: the run directory; a stage reads the folders of the stages before it and writes its own.
        console: for what a person should see.
        fingerprint: of this stage, now; binds checkpoints to it.
        rivals: recipes of other runs that share this one's cache, which may keep for them what they use; of no effect
            on what this run makes.
        leads: whether this process decides and writes; of several that train together, the first one does.
    """

    recipe: Recipe
    run: RunDirectory
    console: Console
    fingerprint: str
    rivals: tuple[Recipe, ...] = ()
    leads: bool = True


class Stage(ABC):
    """One stage of a run. A stage talks to the next one through files, never through memory.

    Nothing heavy may be imported at the top of a stage's file: planning and reuse must stay fast.
    """

    name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = ()
    """Distributions whose version can change the result."""
    extra_outputs: ClassVar[tuple[str, ...]] = ()
    """Outputs outside the stage's folder, by name in the run directory."""
    local: ClassVar[tuple[str, ...]] = ()
    """Files that speak of this machine and are no part of the result."""
    shared: ClassVar[bool] = False
    """Whether all processes that train together do its work; in those that do not lead, `run` writes nothing."""

    def skipped(self, recipe: Recipe) -> str | None:
        """Why the recipe has no need of this stage; None where it has."""
        return None

    @abstractmethod
    def upstream(self, recipe: Recipe) -> tuple[str, ...]:
        """The stages whose outputs are read; those that are skipped may be named too."""

    @abstractmethod
    def parameters(self, recipe: Recipe) -> Mapping[str, Any]:
        """Dotted recipe key → JSON value, for each setting that the result follows from."""

    def prepare(self, recipe: Recipe, console: Console) -> None:  # noqa: B027 (most stages have nothing to make)
        """Make what `files` will look at, where it is made here and takes long enough to be shown."""

    def files(self, recipe: Recipe) -> Mapping[str, str]:
        """Files outside the run directory that are read: name → digest of their content."""
        return {}

    def modules(self, recipe: Recipe) -> tuple[str, ...]:
        """Modules that are reached by name rather than by an import, such as the chosen method's."""
        return ()

    @abstractmethod
    def run(self, context: StageContext) -> dict[str, Any]:
        """Do the work; returns figures for the stage's record.

        Raises:
            TmkdError: with the exit code of the command.
        """

    def folder(self, context: StageContext) -> Path:
        """The stage's own folder, made if need be."""
        folder = context.run.folder(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def settings(recipe: Recipe, *keys: str) -> dict[str, Any]:
    """The recipe's values below some dotted keys that are in effect, flattened to dotted key → JSON value.

    Keys without effect are left out, and values that mean the same are the same (`settings_in_effect`). Hashes of
    weights are left out too: a stage follows from the file's content, whether the recipe names its hash or not. So are
    the names of presets, which stand for the values of other keys, and `auto_batch`: what it divides does not fit
    without it, so that a training that has run out of memory goes on with it from its checkpoint.

    Example:
        >>> settings(recipe, "data.image_size", "student")
        {'data.image_size': 64, 'student.model': 'mobilenet_v2', …}
    """
    everything, values = settings_in_effect(recipe), recipe.resolved()
    found: dict[str, Any] = {}
    for key in keys:
        value: Any = values
        for part in key.split("."):
            value = value[part]
        found |= {name: each for name, each in everything.items() if name == key or name.startswith(f"{key}.")}
    return {
        key: value for key, value in found.items() if key not in _HASHES | _PRESETS and not key.endswith(".auto_batch")
    }
