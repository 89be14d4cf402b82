"""What the loader costs: its share of an epoch, and its speed beside augmentation image by image."""

import tempfile
from pathlib import Path

from benchmarks.training import ours
from benchmarks.training.augmenting import measure_kinds
from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.subjects import Subjects, drawn_index
from pipeline.console import Console
from pipeline.data.loading import Loader
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import fit


def measure(subjects: Subjects, rounds: int) -> list[Claim]:
    """The loader's epochs over whole ones of plain training: at most .05; image by image over it: at least 20."""
    pair = subjects.pair
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = drawn_index(folder, pair)
        with Loader(index, index.root, 0) as loader:
            settings = ours.distill_settings("ce")
            training = ours.training_of(subjects, settings, None, loader, epochs=pair.epochs)
            console = Console(plain=True, stream=(folder / "said.txt").open("a"))

            def whole() -> None:
                checkpoint = Checkpoint(folder / "checkpoint.pt", "one")
                fit(training, make_fabric("cpu", "fp32"), checkpoint, console)
                checkpoint.remove()

            def load() -> None:
                for epoch in range(pair.epochs):
                    for _ in loader.training_batches(training.augmentation, pair.batch, 0, epoch, drop_last=True):
                        pass

            claims = _share(subjects, interleaved({"loader": load, "training": whole}, rounds))
        if pair.pixels < 64:
            claims += measure_kinds(folder / "kinds", pair, rounds)
    return claims


def _share(subjects: Subjects, costs: dict) -> list[Claim]:
    facts = subjects.facts | {"images": subjects.pair.images, "epochs": subjects.pair.epochs}
    return [Claim("loader_share", "loader", "training", costs, subjects.pair.pixels, 0.05, facts)]
