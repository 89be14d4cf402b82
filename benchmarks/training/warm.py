"""TMKD from its teacher cache against plain training: both whole trainings, with loader, disk and validation."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.training import ours
from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.subjects import Subjects, drawn_index
from pipeline.console import Console
from pipeline.data.loading import Loader
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import fit
from pipeline.training.step import Training
from pipeline.training.teacher_cache import CachedTeacher


def measure(subjects: Subjects, rounds: int) -> list[Claim]:
    """A warm TMKD training over a plain one: at most 1.05."""
    pair = subjects.pair
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = drawn_index(folder, pair)
        with Loader(index, index.root, 0) as loader:
            contenders = {
                "tmkd, warm": _training(subjects, "tmkd", loader, folder),
                "plain": _training(subjects, "ce", loader, folder),
            }
            costs = interleaved(contenders, rounds)  # the warm-up fills the cache
    facts = subjects.facts | {"images": pair.images, "epochs": pair.epochs}
    return [Claim("warm", "tmkd, warm", "plain", costs, pair.pixels, 1.05, facts)]


def _training(subjects: Subjects, method: str, loader: Loader, folder: Path) -> Callable[[], None]:
    """A piece of work: a training from its first epoch to its last; augmentation repeats in each epoch."""
    settings, console = ours.distill_settings(method), Console(plain=True, stream=(folder / "said.txt").open("a"))
    teacher: Any = ours.teacher_of(subjects, settings)
    if teacher is not None:
        kept = {"logits": "logits", "feature_map": f"map{settings.feature.pool}", "embeddings": "embedding"}
        images = len(loader.index.splits["train"])
        teacher = CachedTeacher(teacher, folder / "cache", 1, images, kept, settings.feature.pool)

    def work() -> None:
        training = ours.training_of(subjects, settings, teacher, loader, epochs=subjects.pair.epochs)
        checkpoint = Checkpoint(folder / f"{method}.pt", "one")
        fit(_cyclic(training), make_fabric("cpu", "fp32"), checkpoint, console)
        checkpoint.remove()
        if teacher is not None:
            teacher.commit()

    return work


def _cyclic(training: Training) -> Training:
    """The same with one augmentation of each image, which every epoch repeats."""
    return replace(training, augmentation=replace(training.augmentation, cycle=1))
