"""The loader against a bare loop that decodes and resizes the same files, as a ratio of images per second.

    python -m benchmarks.loading                       photographs of 500 x 375 pixels, drawn for the purpose
    python -m benchmarks.loading --root data/photos    class folders of your own

The bare loop is what the machine could do: Pillow opens, decodes and resizes each file in as many processes, and every
pixel is thrown away where it was made. The loader gives the same images as batches of the main process, and in training
it varies them. Rounds of both alternate, so that a busy machine is unfair to both; the ratio is the median over rounds.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exporters.images.preprocessing import Geometry
from pipeline.data.augmentation import Augmentation
from pipeline.data.index import DataIndex
from pipeline.data.indexing import build_index
from pipeline.data.loading import Loader
from pipeline.data.settings import AugmentSettings, DataSettings
from pipeline.runner.environment import describe_environment

SIZE, RESIZE, BATCH = 224, 256, 64
GEOMETRY = Geometry(SIZE, RESIZE)
TARGET = 0.9
KINDS = ("evaluation", "training")


def draw_photographs(folder: Path, count: int, width: int = 500, height: int = 375) -> Path:
    """JPEG files in two class folders, as large on disk as photographs of this size (about 40 kB)."""
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = random.integers(0, 256, (height // 25, width // 25, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
        grain = random.integers(-14, 15, (height, width, 1), dtype=np.int16)
        path = folder / ("left" if number % 2 else "right") / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(path, quality=85)
    return folder


def decode_and_resize(path: Path) -> int:
    """What nobody can do without: the pixels of one file at 224 px."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    shorter = min(image.size)
    image = image.resize((image.width * RESIZE // shorter, image.height * RESIZE // shorter), Image.Resampling.BILINEAR)
    left, top = (image.width - SIZE) // 2, (image.height - SIZE) // 2
    return int(np.asarray(image.crop((left, top, left + SIZE, top + SIZE))).nbytes)


@dataclass(frozen=True)
class Round:
    """Images per second of one round."""

    bare: float
    evaluation: float
    training: float


def measure(root: Path, workers: int, rounds: int) -> dict[str, Any]:
    """Measure on class folders.

    Returns:
        JSON values: `machine`, `images`, `workers`, `rounds`, `images_per_second` (bare, evaluation, training: medians)
        and `ratio` (evaluation and training: medians over the rounds of loader / bare loop).
    """
    settings = DataSettings(
        dataset="folder", root=str(root), image_size=SIZE, resize=RESIZE, validation=0.05, test=0.05
    )
    index = build_index(settings)
    # The same files in the same number of processes, and nothing kept from one round to the next.
    paths = [index.root / path for path in index.splits["train"].paths]
    with Loader(index, index.root, workers, cache_bytes=0) as loader:
        done = _rounds(paths, index, loader, workers, rounds)
    return {
        "machine": describe_environment(),
        "images": len(paths),
        "workers": workers,
        "rounds": rounds,
        "images_per_second": {
            name: round(statistics.median(getattr(each, name) for each in done), 1) for name in ("bare", *KINDS)
        },
        "ratio": {
            kind: round(statistics.median(getattr(each, kind) / each.bare for each in done), 3) for kind in KINDS
        },
    }


def _rounds(paths: Sequence[Path], index: DataIndex, loader: Loader, workers: int, rounds: int) -> list[Round]:
    augmentation = Augmentation(AugmentSettings(crop="resized", scale=(0.08, 1.0)), GEOMETRY, seed=0)

    def evaluation() -> int:
        # The training split in its own way, so that all three see the same files.
        batches = loader.evaluation_batches("train", GEOMETRY, BATCH)
        return sum(len(batch.labels) for batch in batches)

    def training() -> int:
        batches = loader.training_batches(augmentation, BATCH, seed=0, epoch=next(epochs))
        return sum(len(batch.labels) for batch in batches)

    epochs = iter(range(1_000_000))
    pool = multiprocessing.Pool(workers) if workers else None

    def bare() -> int:
        chunks = pool.imap_unordered(decode_and_resize, paths, chunksize=16) if pool else map(decode_and_resize, paths)
        return sum(1 for _ in chunks)

    try:
        for warm_up in (bare, evaluation):  # processes start, files come into memory
            warm_up()
        return [Round(*(_speed(run) for run in (bare, evaluation, training))) for _ in range(rounds)]
    finally:
        if pool is not None:
            pool.terminate()
            pool.join()


def _speed(run: Callable[[], int]) -> float:
    started = time.perf_counter()
    images = run()
    return images / (time.perf_counter() - started)


def to_markdown(measured: dict[str, Any]) -> str:
    """The measurement as a table, with the facts that it holds for."""
    machine, speeds, ratios = measured["machine"], measured["images_per_second"], measured["ratio"]
    packages = machine["packages"]
    rows = [
        f"| bare decode and resize | {speeds['bare']:,.0f} | 1 |",
        *(f"| loader, {kind} | {speeds[kind]:,.0f} | {ratios[kind]:.3f} |" for kind in KINDS),
    ]
    return "\n".join(
        [
            f"Loading at {SIZE} px: {measured['images']:,} images, {measured['workers']} worker processes, median of"
            f" {measured['rounds']} rounds",
            f"({machine['system']} {machine['machine']}, {machine['processors']} processors, Python"
            f" {machine['python']}, Pillow {packages['pillow']}, torch {packages['torch']}).",
            "",
            "| | images per second | ratio |",
            "|---|---|---|",
            *rows,
            "",
            f"At least {TARGET} of the bare loop is wanted in evaluation, which does the same work.",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; Markdown, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--root", type=Path, help="class folders; default: photographs drawn for the purpose")
    # Many, because a worker decodes whole batches: over a dozen of them two workers are not equally busy.
    parser.add_argument("--images", type=int, default=2400, help="how many are drawn; a tenth is set aside")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        root = chosen.root or draw_photographs(Path(folder), chosen.images)
        measured = measure(root, chosen.workers, chosen.rounds)
    sys.stdout.write(f"{json.dumps(measured, indent=2) if chosen.json else to_markdown(measured)}\n")


if __name__ == "__main__":
    main()
