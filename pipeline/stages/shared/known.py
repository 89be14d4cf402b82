"""How a bundle tells apart images that are none of its classes: the threshold of each model, and what it refuses."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exporters.core.errors import UnavailableError
from exporters.core.wording import count_of, was_or_were
from exporters.images.scan import Scan
from pipeline.data.foreign import FOREIGN_KINDS, drawn_foreign
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import digest
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.images import images_of
from pipeline.stages.shared.inputs import Data

if TYPE_CHECKING:
    from exporters.bundle.contents import Known, ShippedModel
    from exporters.images.preprocessing import Preprocessing

DRAWN_IMAGES = 100
"""Of each kind."""

GIVEN = "given"
"""What the images of `known.foreign` are called in a bundle, which tells of no folder."""

_BATCH = 64


def measure_known(
    context: StageContext, data: Data, models: "Sequence[ShippedModel]", preprocessing: "Preprocessing"
) -> "Known | None":
    """Choose the threshold of each model on validation, and count what it refuses; None where the recipe has no score.

    Args:
        context: of a stage after `parity`.
        data: of the run.
        models: those that ship; each is asked by ONNX Runtime on the CPU, where bundles are verified.
        preprocessing: of the student, for images of a folder.

    Raises:
        UnavailableError: no image of `known.foreign` can be read.
    """
    from exporters.bundle.contents import Known, KnownModel
    from exporters.core.growing import GrowingArray
    from exporters.core.known import choose_threshold, known_scores
    from exporters.core.progress import working
    from exporters.runtimes import OnnxRuntime

    settings = context.recipe.known
    if settings.score == "none":
        return None
    runtimes = {model.file: OnnxRuntime(model.data) for model in models}
    scores: dict[str, dict[str, np.ndarray]] = {file: {} for file in runtimes}
    with working("none of these: images like the training data, and others"):
        for kind, batches in _kinds(context, data, preprocessing):
            parts = {file: GrowingArray() for file in runtimes}
            for images in batches:
                for file, runtime in runtimes.items():
                    parts[file].add(known_scores(settings.score, runtime.predict(images)))
            for file, found in parts.items():
                scores[file][kind] = found.array()
    chosen = {file: choose_threshold(of["validation"], settings.false_alarms) for file, of in scores.items()}
    known = Known(
        settings.score,
        settings.false_alarms,
        {kind: len(found) for kind, found in next(iter(scores.values())).items()},
        {
            file: KnownModel(chosen[file], {kind: int(np.sum(found < chosen[file])) for kind, found in of.items()})
            for file, of in scores.items()
        },
    )
    context.console.say(describe_known(known))
    return known


def describe_known(known: "Known") -> str:
    """One line for a person, of the fp32 model."""
    model = known.models["model.onnx"]
    shares = {kind: 100 * model.refused[kind] / images for kind, images in known.images.items() if kind != "validation"}
    foreign = ", ".join(f"{kind} {share:.1f} %" for kind, share in shares.items() if kind != "test")
    return (
        f"none of these: by {known.score}, {shares['test']:.1f} % of test images are refused"
        f" (asked for: {100 * known.false_alarms:g} %); of foreign images: {foreign}"
    )


def foreign_files(recipe: Recipe) -> Mapping[str, str]:
    """The digest of names, sizes and times in the folder of `known.foreign`; empty where there is none."""
    if recipe.known.score == "none" or recipe.known.foreign is None:
        return {}
    folder = foreign_folder(recipe.known.foreign)
    if not folder.is_dir():
        return {}
    found = [(name, (folder / name).stat()) for name in Scan(folder).images_below(folder)]
    return {"foreign images": digest([[name, status.st_size, status.st_mtime_ns] for name, status in found])}


def foreign_folder(path: str) -> Path:
    """The folder that `known.foreign` means."""
    return Path(path).expanduser()


def _kinds(
    context: StageContext, data: Data, preprocessing: "Preprocessing"
) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """Each kind of images, and its batches, uint8 `[B, S, S, 3]`."""
    recipe = context.recipe
    for split in ("validation", "test"):
        yield split, map(images_of, data.loader.evaluation_batches(split, data.geometry, _BATCH))
    for kind in FOREIGN_KINDS:
        yield f"drawn {kind}", iter([drawn_foreign(kind, DRAWN_IMAGES, preprocessing.size, recipe.seed)])
    if recipe.known.foreign is not None:
        yield GIVEN, _given(context, foreign_folder(recipe.known.foreign), preprocessing)


def _given(context: StageContext, folder: Path, preprocessing: "Preprocessing") -> Iterator[np.ndarray]:
    """The images of a folder, prepared as the client prepares them; those that cannot be read are left out."""
    from exporters.images.decoding import UnreadableImageError, open_rgb

    paths = [folder / name for name in Scan(folder).images_below(folder)]
    ready: list[np.ndarray] = []
    unreadable: list[str] = []
    for path in paths:
        try:
            ready.append(preprocessing.apply(open_rgb(path)))
        except UnreadableImageError as error:
            unreadable.append(error.message)
        if len(ready) == _BATCH:
            yield np.stack(ready)
            ready = []
    if len(unreadable) == len(paths):
        raise UnavailableError(
            f"known.foreign: {folder} has no image that can be read" + "".join(f": {each}" for each in unreadable[:1]),
            remedy="Give a folder of images that are none of the classes, or leave the key out.",
        )
    if unreadable:
        context.console.warn(
            f"known.foreign: {count_of(len(unreadable), 'image')} cannot be read and"
            f" {was_or_were(len(unreadable))} left out, such as {unreadable[0]}"
        )
    if ready:
        yield np.stack(ready)
