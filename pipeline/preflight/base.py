"""What a check is, what it is given, and what it reports."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from exporters.core.errors import GateError, TmkdError, UnavailableError, UsageError
from exporters.core.progress import working
from pipeline.data.index import DataIndex
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory

if TYPE_CHECKING:
    from pipeline.models.build import Model
    from pipeline.models.clip import Clip
    from pipeline.models.tapped import TappedNetwork

T = TypeVar("T")

Follows = Literal["recipe", "machine", "run"]
"""What a check's answer follows from: the recipe alone; the recipe and the machine; or data, weights and a run too."""


@dataclass
class Report:
    """What the checks of one moment found.

    Attributes:
        errors: each ends the run; the same message is kept once.
        warnings: shown, and the run goes on.
    """

    errors: list[TmkdError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, error: TmkdError) -> None:
        """Keep an error, unless it was found before."""
        if str(error) not in map(str, self.errors):
            self.errors.append(error)

    def warn(self, message: str) -> None:
        """Keep a warning."""
        if message not in self.warnings:
            self.warnings.append(message)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep the error that the block raises; what follows the block still runs."""
        try:
            yield
        except TmkdError as error:
            self.add(error)

    def raise_errors(self) -> None:
        """Raise the error, or all of them in one message.

        Raises:
            UsageError: any of several is one: the recipe has to change in any case.
            UnavailableError, GateError: else, in this order.
        """
        if not self.errors:
            return
        if len(self.errors) == 1:
            raise self.errors[0]
        kinds = (UsageError, UnavailableError, GateError)
        kind = next(kind for kind in (*kinds, TmkdError) if any(isinstance(error, kind) for error in self.errors))
        raise kind("\n".join(map(str, self.errors)))


class Subject:
    """What a check looks at. Networks are built once for all checks; one that cannot be had fails for each the same.

    Attributes:
        recipe: the recipe.
        run: its directory.
        stages: names of the stages that will run, as far as it is known; those that are reused are not among them.
    """

    def __init__(self, recipe: Recipe, run: RunDirectory, stages: frozenset[str]) -> None:
        self.recipe = recipe
        self.run = run
        self.stages = stages
        self._made: dict[str, Any] = {}

    @cached_property
    def index(self) -> DataIndex:
        """The images by split; only for checks that run after the stage `data`."""
        return DataIndex.load(self.run.folder("data"))

    @property
    def classes(self) -> list[str]:
        """The data set's own names; only after the stage `data`."""
        return self.index.classes

    @property
    def labels(self) -> np.ndarray:
        """Of the training images, `[M]` int64; only after the stage `data`."""
        return self.index.splits["train"].labels

    def student(self) -> "Model":
        """The untrained student, its first weights loaded, on the CPU; only after the stage `data`.

        Leave it as it was: in eval mode, no parameter or buffer changed (copy it to do more).

        Raises:
            TmkdError: it cannot be had, as `build_student` says.
        """
        from pipeline.stages.shared.networks import build_student

        return self._once("student", lambda: build_student(self.recipe, len(self.classes)))

    def teacher(self) -> "TappedNetwork":
        """The visual teacher before its fit, or the finished one where its stage is reused; only after `data`.

        Leave it as it was, like the student.

        Raises:
            TmkdError: it cannot be had.
        """
        return self._once("teacher", self._teacher)

    def _teacher(self) -> "TappedNetwork":
        from pipeline.stages.shared.networks import build_visual_teacher, read_classifier

        if "teacher" in self.stages:
            return build_visual_teacher(self.recipe, len(self.classes)).tapped
        return read_classifier(self.run.folder("teacher"), self.recipe.teacher.visual.classifier, "teacher.visual")

    def text_tower(self) -> "TappedNetwork":
        """The network that the text teacher looks at images by, which its stage does not train; only after `data`.

        Leave it as it was, like the student.

        Raises:
            TmkdError: it cannot be had, or has no pooled features.
        """
        from pipeline.stages.shared.text_tower import build_text_tower, require_features

        tower = self.recipe.teacher.text.tower
        assert tower is not None
        if not tower.is_teacher:
            return self._once("text tower", lambda: build_text_tower(self.recipe, len(self.classes)).tapped)
        require_features(self.teacher())
        return self.teacher()

    def clip(self) -> "Clip":
        """CLIP as its stage begins with it: pretrained, or at its random initialisation where it is fitted.

        Raises:
            TmkdError: it cannot be had.
        """
        from pipeline.models.clip import build_clip, load_clip

        text = self.recipe.teacher.text
        if text.weights == "fit":
            return self._once("clip", lambda: build_clip(text.model, self.recipe.data.split_seed))
        return self._once("clip", lambda: load_clip(text.model, text.weights))

    def _once(self, name: str, make: Callable[[], T]) -> T:
        if name not in self._made:
            try:
                self._made[name] = make()
            except TmkdError as error:
                self._made[name] = error
        made = self._made[name]
        if isinstance(made, TmkdError):
            raise made
        return made


@dataclass(frozen=True)
class Check:
    """An entry of the registry.

    Attributes:
        function: `"module:function"`, of a function that takes a `Subject` and a `Report`, or raises a TmkdError.
        stages: names of the stages that need what is looked at; the check runs where one of these will run.
        slow: whether it loads torch or fetches something, whatever the recipe. Such a check waits until a stage that
            needs it is certain to run, and is left out where a quick one has found an error.
        follows: what its answer follows from. All but `run` are also made where there is no run, by the commands
            `check` and `doctor`, and ask the subject for nothing but its networks, classes and labels.
    """

    function: str
    stages: frozenset[str]
    slow: bool = False
    follows: Follows = "run"

    def run(self, subject: Subject, report: Report) -> None:
        """Import the function and call it; while it works, its name is shown."""
        module, _, name = self.function.partition(":")
        with report.collecting(), working(module.rpartition(".")[2].replace("_", " ")):
            getattr(import_module(module), name)(subject, report)
