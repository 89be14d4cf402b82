"""Files and folders that a recipe names: whether they are here. Nothing is read, except for a hash in the recipe."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exporters.core.errors import UnavailableError
from exporters.core.names import path_on_disk
from pipeline.catalog import class_sets, clip_models, prompt_names
from pipeline.data.prepare.sources import prepare_remedy
from pipeline.data.settings import SYNTHETIC_DATASETS
from pipeline.models.weight_files import checked_sha256
from pipeline.preflight.base import Report, Subject
from pipeline.recipe.needs import needs_image_tower
from pipeline.recipe.schema.recipe import Recipe
from pipeline.recipe.schema.weights import names_file


@dataclass(frozen=True)
class NamedPath:
    """A path in a recipe.

    Attributes:
        key: its dotted key.
        path: expanded; relative to the working directory.
        stages: names of the stages that read it.
        folder: whether it is a folder.
        sha256: what the file must be; None: anything.
        remedy: what to do where it is missing.
        prepared: whether `data prepare` puts it there, so that a recipe may well be written first.
    """

    key: str
    path: Path
    stages: frozenset[str]
    folder: bool = False
    sha256: str | None = None
    remedy: str = ""
    prepared: bool = False

    def missing(self) -> UnavailableError | None:
        """The error that it is not here; None where it is."""
        try:
            there = self.path.is_dir() if self.folder else self.path.exists()
            if there and (self.folder or not self.path.is_dir()):
                return None
            what = "does not exist"
            if self.path.exists():
                what = "is not a folder" if self.folder else "is a folder, not a file"
        except OSError as error:  # such as a name that is too long, or a folder that may not be entered
            what = f"cannot be looked at ({error.strerror})"
        where = "" if self.path.is_absolute() else f" (looked in {Path.cwd()})"
        return UnavailableError(f"{self.key}: {self.path} {what}{where}", remedy=self.remedy)

    def unusable(self) -> UnavailableError | None:
        """The error that it is not here, or not the file whose hash the recipe gives; None where it is."""
        if (error := self.missing()) is not None or self.sha256 is None:
            return error
        try:
            checked_sha256(self.path, self.sha256)
        except UnavailableError as other:
            other.message = f"{self.key}: {other.message}"
            return other
        return None


def named_paths(recipe: Recipe) -> Iterator[NamedPath]:
    """Every path that the recipe names, there or not; shipped names, tags and the like are none."""
    yield from _data(recipe)
    visual, text, student = recipe.teacher.visual, recipe.teacher.text, recipe.student
    weights = "Check the path, or fetch the file; weights: imagenet has published ones."
    students = frozenset({"baseline", "race", "distill", "reference"})
    for section, settings, stages in (
        ("teacher.visual", visual, frozenset({"teacher"})),
        ("student", student, students),
    ):
        if names_file(settings.weights):
            path = Path(settings.weights).expanduser()
            yield NamedPath(f"{section}.weights", path, stages, sha256=settings.sha256, remedy=weights)
    texts = frozenset({"text"})
    clip = texts | {"fusion", "race", "distill"} if needs_image_tower(recipe) else texts
    if names_file(text.weights):
        path = Path(text.weights).expanduser()
        remedy = "Check the path, or train a small CLIP: teacher.text: {model: tiny, weights: fit}"
        yield NamedPath("teacher.text.weights", path, clip, sha256=text.sha256, remedy=remedy)
    if text.tower is not None and names_file(text.tower.weights):
        path = Path(text.tower.weights).expanduser()
        yield NamedPath("teacher.text.tower.weights", path, texts, sha256=text.tower.sha256, remedy=weights)
    if text.model not in clip_models() and Path(text.model).suffix == ".json":
        path = Path(text.model).expanduser()
        yield NamedPath("teacher.text.model", path, clip, remedy=f"Check the path; {', '.join(clip_models())} ships.")
    if text.prompts not in prompt_names():
        remedy = f"Check the path; these ship: {', '.join(prompt_names())}."
        yield NamedPath("teacher.text.prompts", Path(text.prompts), texts, remedy=remedy)
    if text.class_names is not None and text.class_names not in class_sets():
        path = Path(text.class_names).expanduser()
        remedy = f"Check the path; these ship: {', '.join(class_sets())}."
        yield NamedPath("teacher.text.class_names", path, texts | {"race", "distill"}, remedy=remedy)
    if text.anchors is not None:
        path = Path(text.anchors).expanduser()
        remedy = "Check the path, or leave the key out: the prompts give anchors too."
        readers = frozenset({"race", "distill"} if text.tower is None else {"race", "distill", "text"})
        yield NamedPath("teacher.text.anchors", path, readers, remedy=remedy)
    if recipe.known.score != "none" and recipe.known.foreign is not None:
        path = Path(recipe.known.foreign).expanduser()
        remedy = "Check the path, or leave the key out: drawn images are measured in any case."
        yield NamedPath("known.foreign", path, frozenset({"bundle"}), folder=True, remedy=remedy)


def _data(recipe: Recipe) -> Iterator[NamedPath]:
    data, stages = recipe.data, frozenset({"data"})
    if data.root is None or data.dataset in SYNTHETIC_DATASETS:
        return
    root = path_on_disk(Path(data.root).expanduser())
    prepare = prepare_remedy(data.dataset, data.root)
    remedy = prepare or "Check the path; it is relative to the working directory."
    yield NamedPath("data.root", root, stages, folder=True, remedy=remedy, prepared=prepare is not None)
    if data.labels is not None and root.is_dir():
        remedy = "Check the path; it is relative to data.root."
        labels = path_on_disk(root / Path(data.labels).expanduser())
        yield NamedPath("data.labels", labels, stages, remedy=remedy)


def unusable_paths(recipe: Recipe, stages: Iterable[str]) -> Iterator[tuple[NamedPath, UnavailableError]]:
    """The paths that some of these stages read and that are not here, or not the files that the recipe means."""
    wanted = frozenset(stages)
    for named in named_paths(recipe):
        if named.stages & wanted and (error := named.unusable()) is not None:
            yield named, error


def check(subject: Subject, report: Report) -> None:
    """Report paths that are missing, and files that are not those whose hash the recipe gives."""
    for _, error in unusable_paths(subject.recipe, subject.stages):
        report.add(error)
