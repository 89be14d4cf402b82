"""A data set that can be learnt in seconds, a recipe for it, and one run of it the whole way, made once."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from exporters.core.files import read_json, write_json
from pipeline import __main__ as entry
from pipeline.recipe import load_recipe
from pipeline.runner.planning import plan as make_plan
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.registry import STAGES

REPOSITORY = Path(__file__).resolve().parents[2]
CLASSES = ("red_disc", "green_square", "blue_bar")
COLOURS = {"red_disc": (220, 40, 40), "green_square": (40, 190, 60), "blue_bar": (50, 70, 220)}

RECIPE = """\
name: tiny
seed: 3
device: cpu
data:
  dataset: folder
  root: {root}
  image_size: 32
  workers: 0
  augment: {{crop: shift, padding: 2, flip: true}}
teacher:
  visual:
    model: cifar:resnet8
    weights: none
    fit: {{epochs: 3, batch_size: 16, lr: 0.05, schedule: {{kind: one_cycle}}, views: false}}
  text: {{model: {clip}, weights: fit, prompts: generic, fit: {{epochs: 1, batch_size: 24}}}}
student: {{model: cifar:resnet8, baseline: null}}
distill:
  method: tmkd
  base: cat_kd
  contrast: {{weight: 0.1}}
train: {{epochs: 2, batch_size: 16, lr: 0.05, schedule: {{kind: constant}}}}
validate: {{min_top1: 0.0}}
bundle: {{licence: CC0-1.0}}
"""

# Two small transformers; most of its weights are the embedding of the tokens.
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 1},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def write_recipe(path: Path, data: Path) -> Path:
    """The recipe for a data set, with the description of its CLIP beside it."""
    clip = path.with_name("small_clip.json")
    write_json(clip, CLIP)
    path.write_text(RECIPE.format(root=data, clip=clip))
    return path


def draw(kind: str, seed: int, size: int = 32) -> Image.Image:
    """A coloured shape at a random place on a noisy ground."""
    random = np.random.default_rng([seed, CLASSES.index(kind)])
    image = Image.fromarray(random.integers(90, 160, (size, size, 3), dtype=np.uint8))
    pen = ImageDraw.Draw(image)
    x, y = (int(value) for value in random.integers(2, size - 18, 2))
    if kind == "red_disc":
        pen.ellipse((x, y, x + 14, y + 14), fill=COLOURS[kind])
    elif kind == "green_square":
        pen.rectangle((x, y, x + 13, y + 13), fill=COLOURS[kind])
    else:
        pen.rectangle((0, y, size, y + 7), fill=COLOURS[kind])
    return image


def make_data(root: Path) -> Path:
    """Class folders with 16 training, 4 validation and 8 test images a class.

    One validation image stands in two classes, so that no student scores 100 % there.
    """
    for number, (split, count) in enumerate({"train": 16, "val": 4, "test": 8}.items()):
        for kind in CLASSES:
            folder = root / split / kind
            folder.mkdir(parents=True)
            for index in range(count):
                draw(kind, 1000 * number + index).save(folder / f"{index:02}.png")
    shutil.copy(root / "val" / CLASSES[0] / "00.png", root / "val" / CLASSES[1] / "00.png")
    return root


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def stages_run(self) -> list[str]:
        """The stages that ran, in order, by the headings of the output."""
        lines = [line.removeprefix("── ") for line in self.out.splitlines() if line.startswith("── ")]
        return [line.partition(":")[0] for line in lines if not line.endswith(": reused")]

    @property
    def stages_reused(self) -> list[str]:
        """The stages that were reused, in order."""
        lines = [line.removeprefix("── ") for line in self.out.splitlines() if line.startswith("── ")]
        return [line.removesuffix(": reused") for line in lines if line.endswith(": reused")]

    def heading(self, stage: str) -> str:
        """The line that a stage began with."""
        return next(line for line in self.out.splitlines() if line.startswith(f"── {stage}"))


Command = Callable[..., Outcome]


def run_command(*arguments: object) -> Outcome:
    """Run `tmkd-pipeline` in this process."""
    with pytest.MonkeyPatch.context() as patch, _captured() as streams:
        patch.setattr(sys, "argv", ["tmkd-pipeline", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            entry.main()
    code = exit_.value.code
    assert isinstance(code, int)
    return Outcome(code, *streams)


class _captured:
    """Standard output and error of a block; usable from fixtures of any scope."""

    def __enter__(self) -> list[str]:
        import io

        self._streams: list[str] = []
        self._saved = sys.stdout, sys.stderr
        self._out, self._err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        sys.stdout, sys.stderr = self._out, self._err
        return self._streams

    def __exit__(self, *_error: object) -> None:
        sys.stdout, sys.stderr = self._saved
        for stream in (self._out, self._err):
            stream.seek(0)
            self._streams.append(stream.read())


def start_command(*arguments: object, code: str | None = None, **options: Any) -> subprocess.Popen[str]:
    """Start `python -m pipeline` (or `python -c code`) in a process of its own."""
    program = [sys.executable, "-c", code] if code is not None else [sys.executable, "-m", "pipeline"]
    return subprocess.Popen(
        [*program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1", "CI": "1"},
        # Whoever started the tests in the background has them, and so their children, ignore the keyboard.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        **options,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Wait until a condition holds, as long as the process lives."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "".join(process.communicate())
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.002)


@dataclass(frozen=True)
class Run:
    """A finished run that may be changed: recipe, data and run directory."""

    recipe: Path
    data: Path
    directory: Path

    def __call__(self, *arguments: object) -> Outcome:
        """`tmkd-pipeline run` on it."""
        return run_command("run", self.recipe, "--run-dir", self.directory, *arguments)

    def plan(
        self, overrides: Mapping[str, object] = MappingProxyType({}), force: str | None = None
    ) -> dict[str, tuple[str, str]]:
        """What `run` would do: stage → action and reasons."""
        recipe = load_recipe(self.recipe, [f"{key}={value}" for key, value in overrides.items()]).recipe
        planned = make_plan(STAGES, recipe, RunDirectory(self.directory), force)
        return {step.stage: (step.action, "; ".join(step.why)) for step in planned}

    def record(self, stage: str) -> dict[str, Any]:
        """A stage's record."""
        return read_json(self.directory / "stages" / f"{stage}.json")


def set_(values: Mapping[str, object]) -> list[str]:
    """`--set` arguments."""
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set; no test may change it."""
    return make_data(tmp_path_factory.mktemp("tiny_data") / "shapes")


@pytest.fixture(scope="session")
def tiny_recipe(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe; no test may change it."""
    return write_recipe(tmp_path_factory.mktemp("tiny_recipe") / "tiny.yaml", tiny_data)


@pytest.fixture(scope="session")
def embeddings_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text embeddings of the three classes, at angles of 120 degrees in a plane, with a common offset."""
    angles = [2 * math.pi * index / 3 for index in range(3)]
    rows = np.array([[math.cos(angle), math.sin(angle), 0.5, 0.1] for angle in angles], dtype=np.float32)
    path = tmp_path_factory.mktemp("embeddings") / "shapes.npz"
    np.savez(path, embeddings=rows, class_names=np.array([name.replace("_", " ") for name in CLASSES]))
    return path


@pytest.fixture(scope="session")
def finished(tiny_data: Path, tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Outcome]:
    """One run the whole way, and what it printed; no test may change it."""
    pytest.importorskip("torch")
    made = Run(tiny_recipe, tiny_data, tmp_path_factory.mktemp("finished") / "tiny")
    outcome = made()
    assert outcome.code == 0, outcome.out + outcome.err
    return made, outcome


@pytest.fixture(scope="module")
def _graphs(finished: tuple[Run, Outcome]) -> Iterator[None]:
    """In copies of the finished run a student that was converted to ONNX before is not converted again."""
    from tests.exporters.graphs import converting_once

    with converting_once():
        yield


@pytest.fixture
def run(finished: tuple[Run, Outcome], _graphs: None, tmp_path: Path) -> Run:
    """A copy of the finished run, to be changed at will (its data are shared)."""
    original, _ = finished
    directory = tmp_path / "run"
    shutil.copytree(original.directory, directory)
    return Run(original.recipe, original.data, directory)


@pytest.fixture
def own_data(run: Run, tmp_path: Path) -> Run:
    """A copy of the finished run with data of its own; its stage `data` has run on them."""
    data = tmp_path / "moved shapes"
    shutil.copytree(run.data, data)
    recipe = tmp_path / "own.yaml"
    recipe.write_text(run.recipe.read_text().replace(str(run.data), str(data)))
    own = Run(recipe, data, run.directory)
    outcome = own("--until", "data")
    assert outcome.code == 0 and outcome.stages_run == ["data"], outcome.out + outcome.err
    return own


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def assert_one_clear_error(outcome: Outcome, code: int) -> None:
    assert outcome.code == code, outcome.out + outcome.err
    assert outcome.err.startswith("error: ") and outcome.err.count("error: ") == 1
    assert "Traceback" not in outcome.err and "internal" not in outcome.err
