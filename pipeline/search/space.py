"""What is searched: students, methods and precisions, each training an ordinary recipe, and the bounds to keep."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from exporters.core.errors import TmkdError, UsageError
from exporters.core.files import sha256_bytes
from pipeline.comparison.arms import WITHOUT_GATES, WITHOUT_YARDSTICKS, Source
from pipeline.distill.race.candidates import Candidate, candidate, candidate_names
from pipeline.recipe.needs import has_views
from pipeline.recipe.schema.recipe import Recipe
from pipeline.recipe.schema.validate import ValidateSettings
from pipeline.search.halving import schedule
from pipeline.settings import check_names
from pipeline.stages.race import race_recipe

PRECISIONS = ("fp32", "fp16", "int8")
_FILE_WEIGHTS = ("none", "imagenet")
# The search judges latency and size itself.
_ASIDE = ("validate.max_latency_ms=null", "validate.max_size_mb=null")


@dataclass(frozen=True)
class Bounds:
    """What a candidate must keep to; None where nothing is asked.

    Attributes:
        latency_ms: most median time of one image.
        size_mb: most megabytes (10^6 bytes) of its file.
        top1: least accuracy on validation, in [0, 1].
    """

    latency_ms: float | None = None
    size_mb: float | None = None
    top1: float | None = None

    def missed(self, latency_ms: float, size: int, top1: float | None = None) -> str | None:
        """What is beyond the bounds, in words; None where all is well. Without `top1` that bound is not looked at."""
        found = []
        if self.latency_ms is not None and latency_ms > self.latency_ms:
            found.append(f"{latency_ms:.3g} ms, at most {self.latency_ms:g}")
        if self.size_mb is not None and size > self.size_mb * 1e6:
            found.append(f"{size / 1e6:.3g} MB, at most {self.size_mb:g}")
        if self.top1 is not None and top1 is not None and top1 < self.top1:
            found.append(f"top-1 {top1:.4f}, at least {self.top1:g}")
        return "; ".join(found) or None


@dataclass(frozen=True)
class Training:
    """One student under one method; the files of all precisions are made of it.

    Attributes:
        student: `student.model`.
        method: such as `kd` or `tmkd on kd`.
    """

    student: str
    method: str

    @property
    def name(self) -> str:
        """As tables and messages have it."""
        return f"{self.student}, {self.method}"


@dataclass(frozen=True)
class Asked:
    """What a search was asked for.

    Attributes:
        source: the recipe and the user's overrides.
        students, methods, precisions: names, each once.
        bounds: to keep.
        rungs, reduction: of successive halving.
        threads: of ONNX Runtime while latency is measured.
    """

    source: Source
    students: tuple[str, ...]
    methods: tuple[str, ...]
    precisions: tuple[str, ...]
    bounds: Bounds
    rungs: int
    reduction: int
    threads: int
    _recipes: dict[Training, Recipe] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def own(self) -> Recipe:
        """The recipe as it was given."""
        return self.source.load()

    @cached_property
    def trainings(self) -> tuple[Training, ...]:
        """Every student under every method; those first whose teacher sees most, so that the others find its cache."""
        every = [Training(student, method) for method in self.methods for student in self.students]
        return tuple(sorted(every, key=lambda each: not has_views(self.recipe(each))))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Epochs of each rung."""
        return schedule(self.own.train.epochs, self.rungs, self.reduction)

    def recipe(self, training: Training, epochs: int | None = None) -> Recipe:
        """The recipe of a training: gates, yardsticks and trackers are off, and all precisions are made, whether
        faster or not.

        Args:
            training: one of `trainings`.
            epochs: of a short schedule; None for the whole one.

        Raises:
            UsageError: mistakes of the recipe, such as an unknown student.
        """
        if training not in self._recipes:
            self._recipes[training] = self._load(training, *WITHOUT_GATES, *_ASIDE, "track.to=[]")
        recipe = self._recipes[training]
        if epochs is None or epochs == recipe.train.epochs:
            return recipe
        return race_recipe(recipe, candidate(training.method), epochs, recipe.distill.teacher_cache.passes)

    def chosen_recipe(self, training: Training, precision: str) -> Recipe:
        """The recipe of the run that ships: the user's own gates, and the chosen precision must pass."""
        files = ["fp32", *(() if precision == "fp32" else (precision,))]
        top1 = () if self.bounds.top1 is None else (f"validate.min_top1={self.bounds.top1}",)
        recipe = self._load(training, *_ASIDE, *top1)
        return _with_files(recipe, files, required=files[1:])

    def _load(self, training: Training, *overrides: str) -> Recipe:
        own = self.own
        network: tuple[str, ...] = ()
        if training.student != own.student.model:
            network = (f"student.model={training.student}", "student.arguments={}")
        method = () if training.method == _method_of(own) else ("distill.method=auto",)
        recipe = self.source.load(*network, *method, *WITHOUT_YARDSTICKS, *overrides)
        distill = recipe.distill.of(candidate(training.method))
        recipe = recipe.model_copy(update={"distill": distill})
        return _with_files(recipe, ["fp32", *(each for each in self.precisions if each != "fp32")])

    @cached_property
    def identity(self) -> str:
        """A digest of everything that the trials follow from; the same search has the same one."""
        parts = [self.recipe(each).to_yaml() for each in self.trainings]
        rest = [self.precisions, asdict(self.bounds), self.lengths, self.reduction, self.threads]
        return sha256_bytes("\n".join([*parts, repr(rest)]).encode())[:16]

    def to_json(self) -> dict[str, Any]:
        """The question, for reports."""
        return {
            "students": list(self.students),
            "methods": list(self.methods),
            "precisions": list(self.precisions),
            "bounds": {
                "max_latency_ms": self.bounds.latency_ms,
                "max_size_mb": self.bounds.size_mb,
                "min_top1": self.bounds.top1,
            },
            "rungs": list(self.lengths),
            "reduction": self.reduction,
            "threads": self.threads,
        }


def _with_files(recipe: Recipe, precisions: Sequence[str], required: Sequence[str] = ()) -> Recipe:
    onnx = recipe.export.onnx.model_copy(
        update={"precision": list(precisions), "required": list(required), "keep": "all"}
    )
    return recipe.model_copy(update={"export": recipe.export.model_copy(update={"onnx": onnx})})


def _method_of(recipe: Recipe) -> str | None:
    """The recipe's own method as a candidate's name; None for `auto`."""
    return None if recipe.distill.method == "auto" else recipe.distill.candidates[0].name


def ask(
    source: Source,
    *,
    students: Sequence[str],
    precisions: Sequence[str],
    methods: Sequence[str] | None,
    bounds: Bounds,
    rungs: int | None,
    reduction: int | None,
    threads: int,
) -> Asked:
    """Check what a search is asked for, before anything is trained.

    Args:
        source: the recipe.
        students: names of networks.
        precisions: of `PRECISIONS`.
        methods: names of candidates, or `tmkd` for TMKD on the recipe's base; None: the recipe's own, under `auto`
            those that would race.
        bounds: those that are None are taken from `validate` of the recipe, where it has them.
        rungs, reduction: None: `distill.auto.rungs` and `distill.auto.reduction` of the recipe.
        threads: of ONNX Runtime, 1 or more.

    Raises:
        UsageError: an unknown or repeated name, none at all, or a recipe with mistakes; all students at once.
    """
    own = source.load()
    check_names("--students", students)
    check_names("--precisions", precisions, PRECISIONS)
    if methods is None:
        chosen = tuple(each.name for each in own.distill.candidates)
    else:
        check_names("--methods", methods, ("tmkd", *candidate_names()))
        plugged = Candidate("tmkd", own.distill.base).name
        chosen = tuple(dict.fromkeys(plugged if name == "tmkd" else name for name in methods))
    weights, others = own.student.weights, [each for each in students if each != own.student.model]
    if others and weights not in _FILE_WEIGHTS:
        raise UsageError(
            f"student.weights: {weights} is made for {own.student.model}, and cannot start {others[0]}",
            remedy="Add --set student.weights=none, or imagenet.",
        )
    asked = Asked(
        source,
        tuple(students),
        chosen,
        tuple(precisions),
        _filled(bounds, own.gates),
        own.distill.auto.rungs if rungs is None else rungs,
        own.distill.auto.reduction if reduction is None else reduction,
        threads,
    )
    mistakes: list[str] = []
    for student in students:
        for method in chosen:
            try:
                asked.recipe(Training(student, method))
            except TmkdError as error:
                ours = f"--set student.model={student}: student.model:"  # nobody typed that
                mistakes.append(str(error).replace(ours, "--students:"))
    if mistakes:
        raise UsageError("\n".join(dict.fromkeys(mistakes)))
    return asked


def _filled(bounds: Bounds, own: ValidateSettings) -> Bounds:
    return Bounds(
        own.max_latency_ms if bounds.latency_ms is None else bounds.latency_ms,
        own.max_size_mb if bounds.size_mb is None else bounds.size_mb,
        own.min_top1 if bounds.top1 is None else bounds.top1,
    )
