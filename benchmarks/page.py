"""The page of a large run: its time and memory.

    python -m benchmarks.page                                    10,000 test images of 1,000 classes
    python -m benchmarks.page --images 2000 --classes 100        a smaller one
    python -m benchmarks.page --run runs/mine                    the page of a run that is there

The run is a directory like that of a real run: images that are drawn, and indexed by the stage `data`; a MobileNetV2,
its base, plain training and a ResNet-18 before any training; answers that are drawn. `report` runs in a process of
its own. What counts is its processor time, which other work on the machine hardly changes, and its peak memory.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from exporters.core.files import write_json
from exporters.student.student import save_student
from pipeline.data.index import DataIndex
from pipeline.evaluation.gain import paired_gain
from pipeline.evaluation.metrics import per_class_accuracy, score
from pipeline.evaluation.probabilities import log_probabilities
from pipeline.recipe import load_recipe
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.environment import describe_environment
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.shared.networks import build_student, build_visual_teacher, student_preprocessing

SECONDS, GIGABYTES, MEGABYTES = 90, 2.0, 15
"""The bounds: processor seconds over two cores, memory, and the size of the page."""

_COLOURS, _GRID = 3, 4


def draw_images(folder: Path, classes: int, test: int, pixels: int = 64) -> Path:
    """JPEG files in class folders: 2 training and 1 validation image of each class, and `test` images over all.

    A class has a pattern of its own, which noise covers.
    """
    random = np.random.default_rng(0)
    counts = {"train": 2, "val": 1, "test": -(-test // classes)}
    left = test
    for number in range(classes):
        pattern = random.integers(0, 256, (_GRID, _GRID, _COLOURS))
        for split, count in counts.items():
            own = folder / split / f"pattern {number:04}"
            own.mkdir(parents=True)
            for index in range(min(count, left) if split == "test" else count):
                noisy = (pattern + random.normal(0, 40, pattern.shape)).clip(0, 255).astype(np.uint8)
                picture = Image.fromarray(noisy).resize((pixels, pixels), Image.Resampling.BICUBIC)
                picture.save(own / f"{index:04}.jpg", quality=85)
                left -= split == "test"
    return folder


def recipe_of(root: Path, pixels: int) -> dict[str, Any]:
    """A recipe with everything that a page shows."""
    return {
        "name": "large",
        "device": "cpu",
        "data": {"dataset": "folder", "root": str(root), "image_size": pixels},
        "teacher": {"visual": {"model": "resnet18", "weights": "none", "fit": {"epochs": 1}}, "runtime": "eager"},
        "student": {"model": "mobilenet_v2", "weights": "none", "baseline": "full"},
        "distill": {
            "method": "tmkd",
            "reference": "base",
            "contrast": {"weight": 0},
            "weighting": {"by": "teacher_confidence"},
        },
        "bundle": {"licence": "CC0-1.0"},
    }


def make_run(folder: Path, images: int, classes: int, pixels: int) -> Path:
    """Draw images, index them, and put beside the index what the other stages would leave."""
    recipe, run = folder / "large.yaml", folder / "run"
    if not run.is_dir():
        recipe.write_text(yaml.safe_dump(recipe_of(draw_images(folder / "images", classes, images), pixels)))
        command = [sys.executable, "-m", "pipeline", "run", str(recipe), "--run-dir", str(run), "--until", "data"]
        subprocess.run(command, check=True)
    add_stages(RunDirectory(run), load_recipe(str(recipe)).recipe)
    return run


def add_stages(run: RunDirectory, recipe: Recipe) -> None:
    """Networks, answers and records of the stages up to `validate`."""
    index = DataIndex.load(run.folder("data"))
    student, teacher = build_student(recipe, len(index.classes)), build_visual_teacher(recipe, len(index.classes))
    for model, folder in (
        *((student, run.folder(stage) / "chosen") for stage in ("distill", "reference", "baseline")),
        (teacher, run.folder("teacher")),
    ):
        prepared = student_preprocessing(recipe, model.mean, model.std)
        folder.mkdir(parents=True, exist_ok=True)
        save_student(model.tapped.network.eval(), model.architecture, index.classes, prepared, folder)
    write_json(
        run.folder("teacher") / "report.json", {"parameters": sum(p.numel() for p in teacher.tapped.parameters())}
    )
    run.folder("validate").mkdir(exist_ok=True)
    verdict, predictions = drawn_answers(index)
    write_json(run.folder("validate") / "verdict.json", verdict)
    np.savez(run.folder("validate") / "predictions.npz", **predictions)  # type: ignore[arg-type]
    for stage in ("teacher", "baseline", "fusion", "distill", "reference", "validate"):
        run.write_record(StageRecord(stage, "done", fingerprint="drawn"))


def drawn_answers(index: DataIndex) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """`verdict.json` and `predictions.npz` of networks that know some classes better than others, and take a class for
    one of its neighbours."""
    random, classes, found = np.random.default_rng(0), len(index.classes), {}
    skill, scores, right = random.uniform(0.4, 1, classes), {}, {}
    for name in ("chosen", "base", "plain"):
        scores[name], right[name] = {}, {}
        for split in ("validation", "test"):
            labels = np.asarray(index.splits[split].labels)
            shift = random.integers(1, 4, len(labels)) * (random.random(len(labels)) > skill[labels])
            logits = random.normal(0, 1, (len(labels), classes)).astype(np.float32)
            logits[np.arange(len(labels)), (labels + shift) % classes] += 8
            scores[name][split] = score(logits, labels)
            right[name][split] = logits.argmax(axis=1) == labels
            found[f"{name}.{split}"] = logits.argmax(axis=1).astype(np.int32)
            confidence = np.exp(log_probabilities(logits).max(axis=1)).astype(np.float32)
            found |= {f"labels.{split}": labels.astype(np.int32), f"confidence.{name}.{split}": confidence}
            if (name, split) == ("chosen", "test"):
                recalls = dict(zip(index.classes, per_class_accuracy(logits, labels, classes), strict=True))
    for name in ("base", "plain"):
        gain = {split: paired_gain(right["chosen"][split], right[name][split]) for split in right[name]}
        scores[name] |= {"gain": gain, "name": "cat_kd+kd", "epochs": 1, "of": 1}
    student = {"chosen": scores["chosen"], "final": scores["chosen"], "per_class_test": recalls}
    nothing = {"distilled": None, "teacher": None, "corruptions": None, "why": None}
    about = {"passed": True, "gates": [], "faults": [], "chosen_epoch": 1, "ships": "distilled"}
    return {**about, **nothing, "student": student, "base": scores["base"], "plain": scores["plain"]}, found


def measure(run: Path) -> dict[str, Any]:
    """Write the page of a run in a process of its own.

    Returns:
        JSON values: `machine`, `cpu_seconds` with its children, `peak_gigabytes` of the process, `page_megabytes`.
    """
    process = subprocess.Popen([sys.executable, "-m", "pipeline", "report", str(run)])
    _pid, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"report ended with {os.waitstatus_to_exitcode(status)}")
    return {
        "machine": describe_environment(),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_gigabytes": round(used.ru_maxrss * 1024 / 1e9, 3),
        "page_megabytes": round((run / "report.html").stat().st_size / 1e6, 2),
    }


def main() -> int:
    """0 where all bounds are kept, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="in the test split")
    parser.add_argument("--classes", type=int, default=1_000)
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--keep", type=Path, help="an empty folder that is to hold images and run")
    parser.add_argument("--run", type=Path, help="the directory of a run that is there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        run = given.run or make_run(folder, given.images, given.classes, given.pixels)
        result = measure(run)
    kept = (
        result["cpu_seconds"] <= 2 * SECONDS
        and result["peak_gigabytes"] <= GIGABYTES
        and result["page_megabytes"] <= MEGABYTES
    )
    print(json.dumps({**result, "kept": kept}, indent=2))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
