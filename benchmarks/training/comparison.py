"""A whole `compare` of three methods under several seeds, against as many plain runs."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.training.measuring import Claim, interleaved
from benchmarks.training.subjects import Pair, Subjects, draw_folder

METHODS = ("ce", "kd", "tmkd")


def measure(
    subjects: Subjects,
    rounds: int,
    images: Path | None = None,
    weights: Path | None = None,
    seeds: int = 3,
    schedule: tuple[int, int] = (30, 6),
    train_images: int | None = None,
) -> list[Claim]:
    """A comparison of `ce,kd,tmkd` over one of plain training with as many runs: at most 1.25.

    Both are the command itself, each in a new process and a new run directory. The views are weighed by the teacher's
    confidence, which needs no CLIP, and TMKD's base is `kd`: the reference of another base would be a fourth method.

    Args:
        subjects: give the networks, the batch size and the side of the images.
        rounds: how often both are run.
        images: class folders with `train` and `test`; None: drawn ones.
        weights: of the teacher; None: fitted for an epoch.
        seeds: of the comparison; the plain one has three times as many.
        schedule: epochs of a student, and of the cycle that the teacher cache keeps.
        train_images: so many training images; None: all.
    """
    pair, (epochs, cycle) = subjects.pair, schedule
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = images or draw_folder(folder / "images", pair)
        recipe = folder / "bench.yaml"
        recipe.write_text(recipe_of(pair, root, weights, schedule, train_images), encoding="utf-8")
        contenders = {
            "compare": _command(recipe, METHODS, seeds, folder),
            "plain runs": _command(recipe, ("ce",), seeds * len(METHODS), folder),
        }
        costs = interleaved(contenders, rounds, warm_up=False)
    facts = subjects.facts | {"epochs": epochs, "cycle": cycle, "seeds": seeds, "train_images": train_images}
    facts["clip"] = None
    return [Claim("compare", "compare", "plain runs", costs, pair.pixels, 1.25, facts)]


def recipe_of(pair: Pair, root: Path, weights: Path | None, schedule: tuple[int, int], train_images: int | None) -> str:
    """The recipe that both compare, as YAML; arguments as of `measure`."""
    epochs, cycle = schedule
    some = f"train_images: {train_images}" if train_images else "on_leak: drop"
    return f"""\
data:
  dataset: folder
  root: {root}
  image_size: {pair.pixels}
  resize: {pair.pixels}
  augment: {{crop: shift, padding: 4, flip: true}}
  {some}
teacher:
  visual:
    model: {pair.teacher}
    weights: {weights or "none"}
    fit: {"null" if weights else "{epochs: 1}"}
student: {{model: "{pair.student}", weights: none}}
distill:
  base: kd
  weighting: {{by: teacher_confidence}}
  teacher_cache: {{passes: {cycle}}}
train: {{epochs: {epochs}, batch_size: {pair.batch}}}
"""


def _command(recipe: Path, methods: Sequence[str], seeds: int, folder: Path) -> Callable[[], None]:
    """A piece of work: the command from an empty run directory."""

    def work() -> None:
        target = folder / "runs"
        shutil.rmtree(target, ignore_errors=True)
        command = [sys.executable, "-m", "pipeline", "compare", str(recipe), "--methods", ",".join(methods)]
        command += ["--seeds", str(seeds), "--run-dir", str(target)]
        environment = os.environ | {"CI": "1", "OMP_NUM_THREADS": str(torch.get_num_threads())}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")

    return work
