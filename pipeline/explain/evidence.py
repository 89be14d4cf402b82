"""What a run's networks say about a sample of its test images, for the page's figures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.core.progress import counted, working
from pipeline.evaluation.sampling import spread_evenly
from pipeline.explain.sample import IMAGES, looked_at, sample, shown
from pipeline.recipe.needs import needs_teacher
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.inputs import read_data
from pipeline.stages.shared.networks import read_classifier
from pipeline.stages.shared.race import decided_recipe
from pipeline.stages.shared.teachers import read_teacher

if TYPE_CHECKING:
    from torch import Tensor, device

    from pipeline.models.outputs import NetworkOutput
    from pipeline.models.tapped import TappedNetwork
    from pipeline.stages.shared.inputs import Data
    from pipeline.tmkd.teacher import MultiViewTeacher

MULTIPLICATIONS = 1.5e12
"""What a network may spend on the sample, at most: about half a minute of a core. Larger networks see fewer images."""

FEWEST = 64
"""Images that every network sees, however large it is."""

CORRUPTED = 256
"""Test images that are corrupted, at most."""

CORRUPTED_PASSES = 19
"""Passes over these: each kind in each severity, and the images as they are."""

STUDENT, TEACHER = "student", "teacher"


@dataclass(frozen=True)
class Answers:
    """What a network says about the sample.

    Attributes:
        title: for people.
        logits: float32 `[M, K]`.
        features: float32 `[M, C]`, pooled, what its classifier sees.
        maps: float32 `[S, h, w]` in [0, 1], where it looks in the images that are shown, as of
            `pipeline.explain.asking.activation_maps`; None where the network has none.
    """

    title: str
    logits: np.ndarray
    features: np.ndarray
    maps: np.ndarray | None

    @property
    def answers(self) -> np.ndarray:
        """int64 `[M]`, the classes."""
        found: np.ndarray = self.logits.argmax(axis=1)
        return found


@dataclass(frozen=True)
class ViewEvidence:
    """How the teacher weighs the views of the sample, without labels.

    Attributes:
        names: of the V views, rgb first.
        weights: float32 `[M, V]`.
        pictures: uint8 `[S, V, H, W, 3]`, the views of the images that are shown.
    """

    names: tuple[str, ...]
    weights: np.ndarray
    pictures: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """Everything about the sample.

    Attributes:
        indices: int64 `[M]`, positions in the test split.
        labels: int64 `[M]`.
        chosen: the classes whose features are drawn.
        shown: int64 `[S]`, rows of the sample that are shown.
        pictures: uint8 `[S, H, W, 3]`, those images as the networks see them.
        networks: name → its answers; the student, and as far as there are any `base`, `plain` and the teacher.
        views: None without a teacher of several views.
        corrupted: network → kind → severity, as text → accuracy, of student and teacher; empty where that would take
            too long.
        corrupted_images: how many that was measured on.
    """

    indices: np.ndarray
    labels: np.ndarray
    chosen: tuple[int, ...]
    shown: np.ndarray
    pictures: np.ndarray
    networks: Mapping[str, Answers]
    views: ViewEvidence | None
    corrupted: Mapping[str, Mapping[str, Mapping[str, float]]]
    corrupted_images: int


def gather(context: StageContext, verdict: Mapping[str, Any]) -> Evidence:
    """Ask the networks of a run that was validated.

    Args:
        context: of the run; its fingerprint is not used.
        verdict: of the stage `validate`.

    Raises:
        UnavailableError: images or networks are not there any more.
    """
    from pipeline.explain.asking import accuracy_on_corrupted
    from pipeline.training.device import make_fabric

    recipe, run, data = context.recipe, context.run, read_data(context)
    with np.load(run.folder("validate") / "predictions.npz") as predictions:
        answers, labels = predictions["chosen.test"], predictions["labels.test"]
    fabric = make_fabric(recipe.device, "fp32")
    students = {name: network.to(fabric.device) for name, network in _students(context, verdict)}
    decided = decided_recipe(run, recipe)  # under `auto`, the method that has trained the student
    teacher = read_teacher(replace(context, recipe=decided), fabric) if needs_teacher(decided) else None
    work = multiplications_of(students, teacher, context, data, fabric.device)
    chosen = looked_at(answers, labels, len(data.index.classes))
    indices = sample(labels, chosen, max(FEWEST, affordable(work * views_seen(teacher), IMAGES)))
    evidence = ask_networks(students, teacher, data, indices, labels, chosen, _titles(verdict), fabric.device, shown)
    corrupted_images = affordable(work * CORRUPTED_PASSES, CORRUPTED)
    if corrupted_images < FEWEST:
        return evidence
    spread = spread_evenly(len(labels), corrupted_images)
    both = {STUDENT: students[STUDENT]} | ({} if teacher is None else {TEACHER: teacher.visual})
    with working("corrupted images"):
        corrupted = accuracy_on_corrupted(both, data, spread, fabric.device)
    return replace(evidence, corrupted=corrupted, corrupted_images=len(spread))


def ask_networks(
    students: "Mapping[str, TappedNetwork]",
    teacher: "MultiViewTeacher | None",
    data: "Data",
    indices: np.ndarray,
    labels: np.ndarray,
    chosen: Sequence[int],
    titles: Mapping[str, str],
    on: "device",
    choose: Callable[[Mapping[str, np.ndarray], np.ndarray], np.ndarray],
) -> Evidence:
    """Ask networks of one data set about the same images, of which nothing is corrupted.

    Args:
        students: name → network, on the device, in eval mode.
        teacher: likewise; it is asked as `TEACHER`.
        data: of the runs.
        indices: int64 `[M]`, positions in the test split.
        labels: of the test split.
        chosen: the classes whose features are drawn.
        titles: name → what people call the network.
        on: the device.
        choose: name → right `[M]`, and labels `[M]` → the rows that are shown.
    """
    from pipeline.explain.asking import activation_maps, ask, ask_teacher, images_of, view_pictures

    asked = {}
    for name, network in students.items():
        with working(titles[name]):
            asked[name] = ask(network, data, indices, on)
    functions: dict[str, Callable[[Tensor], NetworkOutput]] = {**students}
    weights = None
    if teacher is not None:
        with working(titles[TEACHER]):
            logits, features, weights = ask_teacher(teacher, data, indices, on)
        asked[TEACHER], functions[TEACHER] = (logits, features), teacher.visual
    own = labels[indices].astype(np.int64)
    rows = choose({name: logits.argmax(axis=1) == own for name, (logits, _features) in asked.items()}, own)
    pictures, images = images_of(data, indices[rows], on)
    views = None
    if teacher is not None and weights is not None and views_seen(teacher) > 1:
        views = ViewEvidence(teacher.views.names, weights, view_pictures(teacher.views, images))
    return Evidence(
        indices=indices,
        labels=own,
        chosen=tuple(chosen),
        shown=rows,
        pictures=pictures,
        networks={
            name: Answers(titles[name], logits, features, activation_maps(functions[name], images))
            for name, (logits, features) in counted(asked.items(), "activation maps", len(asked))
        },
        views=views,
        corrupted={},
        corrupted_images=0,
    )


def multiplications_of(
    students: "Mapping[str, TappedNetwork]",
    teacher: "MultiViewTeacher | None",
    context: StageContext,
    data: "Data",
    on: "device",
) -> float:
    """Of the largest of some networks, for one image; of the teacher in one view.

    Args:
        students: name → network, on the device.
        teacher: likewise.
        context: of a run that has the teacher.
        data: of the run.
        on: the device.
    """
    import torch

    from pipeline.models.deployment.choice import multiplications

    networks = [*students.values()]
    if teacher is not None:  # as it was saved, since none are counted in other runtimes
        visual = context.recipe.teacher.visual.classifier
        networks.append(read_classifier(context.run.folder("teacher"), visual, "teacher.visual"))
    image = torch.zeros(1, 3, data.geometry.size, data.geometry.size, device=on)
    return max(multiplications(network.to(on), image) for network in networks)


def views_seen(teacher: "MultiViewTeacher | None") -> int:
    """How many views of each image are looked at, 1 without a teacher."""
    return 1 if teacher is None else len(teacher.views)


def _students(context: StageContext, verdict: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The students of a run, the one that ships first."""
    run, classifier = context.run, context.recipe.student.classifier
    folders = {STUDENT: run.folder("distill") / "chosen"}
    if verdict.get("base") is not None:
        folders["base"] = run.folder("reference") / "chosen"
    if verdict.get("plain") is not None:
        folders["plain"] = run.folder("baseline") / "chosen"
    for name, folder in folders.items():
        yield name, read_classifier(folder, classifier, "student").eval().requires_grad_(False)


def _titles(verdict: Mapping[str, Any]) -> dict[str, str]:
    base = verdict.get("base") or {}
    return {STUDENT: "student", "base": f"base ({base.get('name', '')})", "plain": "plain training", TEACHER: "teacher"}


def affordable(work: float, most: int) -> int:
    """Images that can be looked at.

    Args:
        work: multiplications for each.
        most: of them.
    """
    return int(min(most, MULTIPLICATIONS / max(1.0, work)))
