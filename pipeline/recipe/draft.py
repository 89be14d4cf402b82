"""A recipe for a folder of photographs, with what was chosen and why: what the command `train` writes."""

import math
import re
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.files import sha256_bytes, write_text
from exporters.core.names import path_on_disk
from exporters.core.wording import count_of
from exporters.images.class_folders import find_split_folders
from exporters.images.scan import Scan
from exporters.student.architectures import check_name
from exporters.student.architectures.facts import facts_of
from exporters.student.architectures.weights_cache import WeightsCache, can_be_fetched
from pipeline.data.indexing import read_listing
from pipeline.data.readers.labels_table import SUFFIXES, find_tables
from pipeline.distill.settings import AUTO
from pipeline.recipe.reading.load import load_recipe
from pipeline.recipe.reading.overrides import parse_override
from pipeline.recipe.schema.recipe import Recipe
from pipeline.training.settings import FitSettings, fewer_images_a_step
from pipeline.yaml_document import dump_yaml

STUDENT = "mobilenet_v3_small"
TEACHERS = ("resnet18", "resnet34", "resnet50")
"""Visual teachers to choose from, the lightest first."""
SMALL_TEACHER, _SMALL = "cifar:resnet56", 32
"""For images up to so many pixels, of which the others make a last feature map of one pixel: too little for CAT-KD."""
EPOCHS = {"imagenet": (12, 8), "none": (40, 30)}
"""Initial weights → epochs of a student and of a teacher."""
_VALIDATION, _LARGEST_SHARE = 50, 0.3
"""Images to choose on that are wanted, and the largest share of the training images that is taken for them."""
_MARK = "\n# As written, sha256 of all above: "


@dataclass(frozen=True)
class Wishes:
    """What a person says; None is left to `draft_recipe`.

    Attributes:
        photos: a folder of photographs in any layout that `data.dataset: folder` reads, or a table of labels in it.
        student, teacher: names of networks.
        epochs: of the student; a teacher is fitted for no more.
        image_size: side of the student's input, in pixels.
        labels: whether a table of labels is named elsewhere, so that none is looked for.
        accelerated: whether training runs on a GPU.
        images: in the training split; None leaves the size of batches as it is by default.
        validation: the share of the training images to set aside; None: the default.
        method: a name of `distill.method`; None: `auto`.
    """

    photos: Path
    student: str | None = None
    teacher: str | None = None
    epochs: int | None = None
    image_size: int | None = None
    labels: bool = False
    accelerated: bool = False
    images: int | None = None
    validation: float | None = None
    method: str | None = None


@dataclass(frozen=True)
class Draft:
    """A recipe that was written for someone.

    Attributes:
        text: commented YAML.
        notes: a line on each choice.
    """

    text: str
    notes: tuple[str, ...]


def draft_recipe(name: str, wishes: Wishes) -> Draft:
    """Choose what was left open, and write it down.

    Args:
        name: of the run.
        wishes: what a person gave.

    Raises:
        UsageError: a network that does not exist, or several tables of labels.
        UnavailableError: `photos` is not there.
    """
    root, labels, data_notes = _photos(wishes)
    cache = WeightsCache.look()
    student = _network("student", wishes.student or STUDENT, cache)
    size = wishes.image_size or (224 if wishes.accelerated else 128)
    teacher = _network("teacher", wishes.teacher, cache) if wishes.teacher else _teacher(wishes, size, cache)
    epochs = wishes.epochs or EPOCHS[student.weights][0]
    fit_epochs = min(epochs, EPOCHS[teacher.weights][1])
    data = {**_data(root, labels), "image_size": size}
    if wishes.validation is not None:
        data["validation"] = wishes.validation
    method = wishes.method or AUTO
    taught = {"model": teacher.model, "weights": teacher.weights}
    batch, fit_batch = (_batch_size(wishes.images, number) for number in (epochs, fit_epochs))
    sections = [
        ("The images. Whatever is not split on disk is split by the run.", {"data": data}),
        (
            "The teacher, fitted to the images before the student sees them.",
            {"teacher": {"visual": {**taught, "fit": {"epochs": fit_epochs, **fit_batch}}}},
        ),
        ("The network that ships.", {"student": {"model": student.model, "weights": student.weights}}),
        _method(method),
        (
            "The student's schedule; optimizer and rates follow from its weights.",
            {"train": {"epochs": epochs, **batch}},
        ),
    ]
    head = (
        f"Written by `tmkd-pipeline train` for {root}. Change what you like, and go on with `tmkd-pipeline run`;"
        " `tmkd-pipeline schema` has every key."
    )
    parts = [_comment(head), dump_yaml({"name": name})]
    parts += [f"\n{_comment(why)}{dump_yaml(section, compact=True)}" for why, section in sections]
    notes = (
        *data_notes,
        f"student {student.model}, {student.why}, {count_of(epochs, 'epoch')}",
        f"teacher {teacher.model}, {teacher.why}, {count_of(fit_epochs, 'epoch')}",
        "method auto: plain training and methods of distillation race, and the best on validation ships"
        if method == AUTO
        else f"method {method}, as asked",
        f"images of {size} × {size} pixels" + ("" if wishes.image_size else _why_size(wishes.accelerated)),
        *(
            [f"{100 * wishes.validation:.0f} % set aside to choose on, because a tenth would be a few images"]
            if wishes.validation is not None
            else []
        ),
        *(f"batches of {number} images, because there are few for training" for number in batch.values()),
    )
    return Draft("".join(parts), notes)


def _method(method: str) -> tuple[str, dict[str, object]]:
    """The section `distill` and why."""
    why = "How it learns."
    distill: dict[str, object] = {"method": method}
    if method == AUTO:
        why += " auto: plain training, methods of distillation and TMKD race on the validation images, and the best"
        why += " one ships."
    if method in (AUTO, "tmkd"):
        why += " The teacher's own confidence weighs the views of TMKD, so that no CLIP is needed."
        distill["weighting"] = {"by": "teacher_confidence", "temperature": "auto"}
        distill["contrast"] = {"weight": 0.0}
    return why, {"distill": distill}


@dataclass(frozen=True)
class _Network:
    model: str
    weights: str
    why: str


def _network(option: str, model: str, cache: WeightsCache) -> _Network:
    try:
        check_name(model)
        facts = facts_of(model)
    except UsageError as error:
        error.message = f"--{option}: {error.message}"
        raise
    if facts is None or facts.weights is None:
        return _Network(model, "none", "from scratch (no weights are published for it)")
    if facts.weights in cache:
        return _Network(model, "imagenet", "with its published weights from the local cache")
    if can_be_fetched(facts.weights):
        return _Network(model, "imagenet", "with its published weights, which are fetched")
    return _Network(model, "none", "from scratch (its published weights are not here and cannot be fetched)")


def _teacher(wishes: Wishes, size: int, cache: WeightsCache) -> _Network:
    """The one that suits images and machine best, of those with weights in the cache if there are any."""
    if size <= _SMALL:
        return _Network(SMALL_TEACHER, "none", f"from scratch (made for images of {_SMALL} pixels)")
    models = TEACHERS[::-1] if wishes.accelerated else TEACHERS
    known = [facts for model in models if (facts := facts_of(model)) is not None]
    here = [facts for facts in known if facts.weights in cache]
    return _network("teacher", (here or known)[0].name, cache)


def _why_size(accelerated: bool) -> str:
    return " (224 is usual on a GPU)" if accelerated else " (no GPU: 224 would take three times as long)"


def _photos(wishes: Wishes) -> tuple[Path, str | None, list[str]]:
    """The root, the table of labels where there is one, and what to say of them."""
    photos = path_on_disk(wishes.photos.expanduser()).absolute()
    if photos.is_file() and photos.suffix.lower() in SUFFIXES:
        return photos.parent, photos.name, []
    if not photos.is_dir():
        raise UnavailableError(
            f"{photos} {'is neither a folder nor a table of labels' if photos.exists() else 'does not exist'}",
            remedy="Give a folder with class folders (<class>/*.jpg), or a table of labels (.csv).",
        )
    tables = [] if wishes.labels else find_tables(photos)
    if not tables:
        return photos, None, []
    scan = Scan(photos)
    folders = scan.entries(photos)[1]
    with_images = [name for name in folders if scan.images_in(photos / name)]
    if find_split_folders(scan, photos) is not None or len(with_images) > 1:
        unused = f"classes are those of the folders; {tables[0]} is not read (--set data.labels={tables[0]} reads it)"
        return photos, None, [unused]
    if len(tables) > 1:
        raise UsageError(
            f"{photos}: has several tables of labels: {', '.join(tables[:4])}",
            remedy=f"Name the one that is meant, such as {photos / tables[0]}.",
        )
    return photos, tables[0], [f"classes are those of the table {tables[0]}"]


def _batch_size(images: int | None, epochs: int) -> dict[str, int]:
    """The key `batch_size` where the default leaves few steps an epoch."""
    better = None if images is None else fewer_images_a_step(images, FitSettings().batch_size, epochs)
    return {} if better is None else {"batch_size": better}


def check_draft(draft: Draft, overrides: Sequence[str]) -> Recipe:
    """Find the mistakes of `--set`s before anything is written.

    Returns:
        The recipe, overrides applied.

    Raises:
        UsageError: as `load_recipe`.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(draft.text, "utf-8")
        return load_recipe(path, overrides).recipe


def counted(wishes: Wishes, overrides: Sequence[str]) -> Wishes:
    """The wishes with the images that there are, by their names alone; as they are where another data set is named.

    Args:
        wishes: what a person gave.
        overrides: `--set`s; those of `data` count.

    Raises:
        UsageError: as `draft_recipe` and `load_recipe`.
        UnavailableError: `photos` is not there, or has no images as `data.dataset: folder` reads them.
    """
    root, labels, _ = _photos(wishes)
    of_data = [override for override in overrides if parse_override(override).path[:1] == ("data",)]
    data = check_draft(Draft(dump_yaml({"data": _data(root, labels)}), ()), of_data).data
    if data.dataset != "folder":
        return wishes
    splits = read_listing(data).splits
    images, share = len(splits["train"]), data.validation
    if "validation" not in splits:
        if round(images * share) < _VALIDATION and share == type(data)().validation:
            share = min(_LARGEST_SHARE, math.ceil(20 * _VALIDATION / images) / 20)
        images -= round(images * share)
    validation = None if share == data.validation else share
    return replace(wishes, images=min(images, data.train_images or images), validation=validation)


def _data(root: Path, labels: str | None) -> dict[str, object]:
    return {"dataset": "folder", "root": str(root), **({} if labels is None else {"labels": labels})}


def write_draft(draft: Draft, path: Path) -> None:
    """Write a recipe, over one that `train` wrote before, and over no other.

    Raises:
        UsageError: someone has changed the file since, or it is another's.
    """
    if path.exists():
        before, mark, digest = path.read_text("utf-8", errors="replace").rpartition(_MARK)
        if not mark or digest.strip() != sha256_bytes(before.encode()):
            raise UsageError(
                f"{path}: this recipe has been changed since it was written, and would be lost",
                remedy=f"Run it as it is: tmkd-pipeline run {shlex.quote(str(path))}"
                f" --run-dir {shlex.quote(str(path.parent))}; or remove it, or give another --run-dir.",
            )
    write_text(path, f"{draft.text}{_MARK}{sha256_bytes(draft.text.encode())}\n")


def name_of(photos: Path) -> str:
    """A name for the run, after the folder."""
    folder = photos.expanduser().absolute()
    folder = folder.parent if folder.is_file() else folder
    return re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name).strip("._-")[:100] or "photos"


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, 110, break_long_words=False, break_on_hyphens=False))
