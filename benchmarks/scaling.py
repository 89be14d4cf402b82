"""What the cost model says for ImageNet and for a billion images on 1 to 1,024 GPUs: the tables of docs/scaling.md.

    python -m benchmarks.scaling

Work and network sizes are those of `plan --cost`; what a processor core decodes is measured here, on photographs drawn
for the purpose. Of GPUs nothing is measured: their figures are published peaks with an assumed utilisation (`GPU`).
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.loading import draw_photographs
from pipeline.costs.counts import Counts
from pipeline.costs.flops import NetworkSize, measure_size
from pipeline.costs.loading import loading_prices, sample_listing
from pipeline.costs.work import work_of
from pipeline.data.indexing import read_listing
from pipeline.data.settings import DataSettings
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe

GPUS = (1, 8, 64, 256, 1024)


@dataclass(frozen=True)
class Machine:
    """A GPU, and its part of a node and of the network. Published peaks; shares are assumptions.

    Attributes:
        flops: dense bf16 operations a second.
        convolutions, transformers: share of them that such networks reach.
        network: bytes a second to other GPUs.
        hop: seconds of a collective's step from one GPU to the next level.
        cores: processor cores that decode for it.
        disk: bytes a second of a node's disks that are its part.
        launch_cold, launch_warm: seconds to start all kernels of a step, with teachers and without.
    """

    flops: float = 989e12
    convolutions: float = 0.10
    transformers: float = 0.40
    network: float = 50e9
    hop: float = 15e-6
    cores: int = 16
    disk: float = 0.8e9
    launch_cold: float = 8e-3
    launch_warm: float = 5e-3


GPU = Machine()


@dataclass(frozen=True)
class Sizes:
    """What the networks of a recipe ask.

    Attributes:
        student, teacher, clip: their sizes.
        cache_row: bytes of an image in one epoch of the teacher cache, all views.
        views: V.
    """

    student: NetworkSize
    teacher: NetworkSize
    clip: NetworkSize
    cache_row: int
    views: int


def sizes_of(recipe: Recipe, classes: int) -> Sizes:
    """Build the networks of a recipe, and count."""
    import torch

    from pipeline.costs.networks import Networks

    networks = Networks(recipe, [f"class {number}" for number in range(classes)], 2 * classes)
    images = torch.rand(2, 3, recipe.data.image_size, recipe.data.image_size)
    teacher, clip, visual = networks.teacher, networks.clip, networks.visual
    assert teacher is not None and clip is not None and visual is not None
    row = networks.cached(teacher.look(images)).bytes * len(teacher.views)
    return Sizes(
        measure_size(networks.student, images),
        measure_size(visual, images),
        measure_size(clip, images, clip.encode_image),
        row,
        len(teacher.views),
    )


def predict(
    recipe: Recipe, counts: Counts, sizes: Sizes, gpus: int, core: float, machine: Machine = GPU
) -> dict[str, Any]:
    """Seconds of the stage `distill` by what they go into, were each of it alone.

    Args:
        recipe: with its batch, of all GPUs together.
        counts: of the images.
        sizes: of its networks.
        gpus: how many.
        core: images a second that one processor core decodes and varies.
        machine: the GPU and its surroundings.

    Returns:
        JSON values: `seconds` by part (`student`, `teacher`, `clip`, `launch`, `network`, `loader`, `disk`), `hours`
        of the whole, `bound` (the part that decides), `images_per_second` of a GPU, `cores` that a GPU needs for its
        loader to keep up, `cache_bytes`.
    """
    amounts = work_of(recipe, counts, cached=False)["distill"]
    seen, looks, reads = (amounts.get(name, 0.0) for name in ("method", "look", "read"))
    steps, batch = seen / recipe.train.batch_size, recipe.train.batch_size / gpus
    convolutions, transformers = machine.flops * machine.convolutions, machine.flops * machine.transformers
    cold_share = looks / seen
    seconds = {
        "student": seen * sizes.student.training / convolutions / gpus,
        "teacher": looks * sizes.views * sizes.teacher.forward / convolutions / gpus,
        "clip": looks * sizes.views * sizes.clip.forward / transformers / gpus,
        "launch": steps * (cold_share * machine.launch_cold + (1 - cold_share) * machine.launch_warm),
        "network": steps * _all_reduce(4 * sizes.student.parameters, gpus, machine),
        "loader": seen / (core * machine.cores * gpus),
        "disk": (reads + looks * (recipe.distill.teacher_cache.passes > 0)) * sizes.cache_row / (machine.disk * gpus),
    }
    compute = seconds["student"] + seconds["teacher"] + seconds["clip"]
    # Gradients travel while the backward pass, two thirds of a step, goes on.
    exposed = max(0.0, seconds["network"] - 2 / 3 * seconds["student"])
    waits = {
        "kernels started one by one": seconds["launch"] + exposed,
        "teachers" if seconds["teacher"] + seconds["clip"] > seconds["student"] else "student": compute + exposed,
        "decoding": seconds["loader"],
        "reading the cache": seconds["disk"],
    }
    bound, whole = max(waits.items(), key=lambda item: item[1])
    if bound not in ("decoding", "reading the cache") and exposed > whole / 2:
        bound = "all-reduce"
    return {
        "gpus": gpus,
        "batch_of_one": batch,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "hours": whole / 3600,
        "bound": bound,
        "images_per_second": seen / whole / gpus,
        "cores": math.ceil(seen / max(compute, seconds["launch"]) / gpus / core),
        "cache_bytes": recipe.distill.teacher_cache.passes * counts.train * sizes.cache_row,
    }


def _all_reduce(size: float, gpus: int, machine: Machine) -> float:
    """Seconds of a ring: each GPU sends and receives nearly twice the gradients, in a tree of hops."""
    return 0.0 if gpus == 1 else 2 * size * (gpus - 1) / gpus / machine.network + 2 * math.log2(gpus) * machine.hop


def measure_core(images: int = 96) -> float:
    """Images a second that one core here decodes and varies: photographs of 500 x 375 pixels to 224."""
    with tempfile.TemporaryDirectory() as folder:
        root = draw_photographs(Path(folder), images)
        settings = DataSettings(dataset="folder", root=str(root))
        recipe = load_recipe("imagenet_resnet18", ("data.dataset=folder", f"data.root={root}")).recipe
        sampled, _ = sample_listing(read_listing(settings), recipe, images)
        prices = loading_prices(sampled, recipe)
    return 1 / (prices["decode"].cpu + prices["augment"].cpu)


CASES: tuple[tuple[str, Counts, tuple[str, ...]], ...] = (
    (
        "ImageNet, 1.28 M images, 100 epochs, batch 512",
        Counts(1_256_167, 25_000, 50_000, 1000),
        ("train.batch_size=512",),
    ),
    (
        "ImageNet, 1.28 M images, 100 epochs, batch 4,096",
        Counts(1_256_167, 25_000, 50_000, 1000),
        ("train.batch_size=4096",),
    ),
    (
        "1 B images, 3 epochs, batch 32,768",
        Counts(1_000_000_000, 25_000, 50_000, 1000),
        ("train.epochs=3", "train.schedule={kind: cosine}", "train.batch_size=32768"),
    ),
)
ARMS = (
    ("cold", ()),
    ("cache of {passes}, fp16", ("distill.teacher_cache.passes={passes}", "distill.teacher_cache.storage=float16")),
)


def tables(core: float) -> list[dict[str, Any]]:
    """Every case and arm on every number of GPUs."""
    rows = []
    for title, counts, overrides in CASES:
        passes = 1 if counts.train > 10**8 else 10
        for arm, changes in ARMS:
            sets = (*overrides, *(change.format(passes=passes) for change in changes))
            recipe = load_recipe("imagenet_resnet18", sets).recipe
            sizes = sizes_of(recipe, counts.classes)
            for gpus in GPUS:
                row = predict(recipe, counts, sizes, gpus, core)
                rows.append({"case": title, "arm": arm.format(passes=passes), **row})
    return rows


def to_markdown(rows: Sequence[dict[str, Any]], core: float) -> str:
    """A table for each case."""
    lines = [f"A core here decodes and varies {core:,.0f} images a second."]
    for case in dict.fromkeys(row["case"] for row in rows):
        lines += ["", f"**{case}**", "", _HEAD, "|---|---|---|---|---|---|---|"]
        for row in (row for row in rows if row["case"] == case):
            cache = f"{row['cache_bytes'] / 1e12:,.2f} TB" if row["cache_bytes"] else ""
            lines.append(
                f"| {row['arm']} | {row['gpus']:,} | {_hours(row['hours'])} | {row['images_per_second']:,.0f} |"
                f" {row['bound']} | {row['cores']} | {cache} |"
            )
    return "\n".join(lines)


_HEAD = "| teachers | GPUs | hours | images/s a GPU | what decides | cores a GPU to keep up | cache |"


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Predict and print; Markdown, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--core", type=float, help="images a second that a core decodes; default: measured here")
    parser.add_argument("--json", action="store_true", help="JSON instead of Markdown")
    chosen = parser.parse_args(arguments)
    core = chosen.core or measure_core()
    rows = tables(core)
    sys.stdout.write(f"{json.dumps({'core': core, 'rows': rows}) if chosen.json else to_markdown(rows, core)}\n")


if __name__ == "__main__":
    main()
