"""A stage's training on real files, with its checkpoint and its metrics."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from exporters.images.preprocessing import Geometry
from exporters.student.architectures import Architecture, build
from pipeline.console import Console
from pipeline.data.augmentation import Augmentation
from pipeline.data.indexing import build_index
from pipeline.data.loading import Loader
from pipeline.data.settings import AugmentSettings, DataSettings
from pipeline.distill.methods.ce import CrossEntropy
from pipeline.distill.task import DistillationTask
from pipeline.models.tapped import TappedNetwork
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.rundir import RunDirectory
from pipeline.runner.stage import StageContext
from pipeline.stages.shared.training import discard_checkpoint, train
from pipeline.tmkd.teacher import MultiViewTeacher
from pipeline.tmkd.views.views import Views
from pipeline.tmkd.weighting import uniform_weighting
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import Fitted, fit
from pipeline.training.settings import FitSettings, NetworkFitSettings
from pipeline.training.step import Training, images_to_device
from pipeline.training.teacher_cache import CachedTeacher
from tests.pipeline.distill.networks import loss_settings

SIZE = 16
GEOMETRY = Geometry(SIZE, SIZE)


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    """Dark and light noise: 32 images to train on, 16 for validation, 4 for test."""
    root, random = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 8), ("test", 2)):
        for kind, level in (("dark", 40), ("light", 170)):
            (root / split / kind).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(level, level + 60, (SIZE, SIZE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / kind / f"{number}.png")
    index = build_index(DataSettings(dataset="folder", root=str(root), image_size=SIZE))
    return Loader(index, index.root, workers=0)


def make_training(loader: Loader, epochs: int) -> Training:
    torch.manual_seed(0)
    student = TappedNetwork(build(Architecture("resnet8", "cifar"), 2), (0.5,) * 3, (0.2,) * 3, SIZE)
    task = DistillationTask(student, CrossEntropy(loss_settings(ce={"weight": 1.0}), student.shape, None))
    augmentation = Augmentation(AugmentSettings(crop="shift"), GEOMETRY, 3)
    settings = FitSettings(epochs=epochs, batch_size=8, lr=0.02)
    return Training("toy", task, loader, augmentation, settings, seed=3)


def accuracy(training: Training) -> float:
    """On plain validation images, from the files."""
    (batch,) = training.loader.evaluation_batches("validation", GEOMETRY, 100)
    with torch.no_grad():
        answers = training.task.eval().student(batch.images.float() / 255).logits.argmax(dim=1)
    return (answers == batch.labels).double().mean().item()


def test_two_kinds_of_images_are_distinguished_after_a_few_epochs(loader: Loader, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    context = StageContext(Recipe(), run, Console(io.StringIO(), plain=True), "one")
    training = make_training(loader, epochs=5)
    fitted = train(context, "distill", training, make_fabric("cpu", "fp32"))
    assert fitted.chosen_score == 1.0
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"]
    assert accuracy(training) == fitted.history[-1]["validation_top1"]
    training.task.load_state_dict(fitted.chosen_state)
    assert accuracy(training) == 1.0

    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert logged == [row | {"stage": "distill"} for row in fitted.history]
    assert (run.folder("distill") / "checkpoint.pt").is_file()
    discard_checkpoint(context, "distill")
    assert not (run.folder("distill") / "checkpoint.pt").exists()


def test_attempt_of_another_fingerprint_starts_over(loader: Loader, tmp_path: Path) -> None:
    stream, fabric = io.StringIO(), make_fabric("cpu", "fp32")
    for fingerprint in ("one", "one", "two"):
        context = StageContext(Recipe(), RunDirectory(tmp_path), Console(stream, plain=True), fingerprint)
        fitted = train(context, "distill", make_training(loader, epochs=1), fabric)
        assert len(fitted.history) == 1
    assert stream.getvalue().count("toy: resuming after epoch 1 of 1") == 1
    assert stream.getvalue().count("toy 1/1") == 2


class Stopped(Exception):
    """The end of a process."""


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_mixed_images_are_the_same_on_1_and_3_workers_and_after_resume(loader: Loader, tmp_path: Path) -> None:
    settings = NetworkFitSettings(
        epochs=3, batch_size=8, lr=0.01, optimizer="adamw", head_epochs=1, head_lr=3.0, layer_decay=0.5, ema=0.9
    )
    mixed = AugmentSettings(crop="shift", mixup=0.4, cutmix=1.0, mix_probability=0.9)

    def run_once(name: str, workers: int, stop: bool = False) -> Fitted:
        with Loader(loader.index, loader.index.root, workers, cache_bytes=0) as own:
            plain = make_training(own, 3)
            training = replace(plain, settings=settings, augmentation=Augmentation(mixed, GEOMETRY, 3))
            checkpoint = Checkpoint(tmp_path / name, "one")

            def note(epoch: int, _metrics: dict[str, float]) -> None:
                if stop and epoch == 2:
                    raise Stopped

            console = Console(io.StringIO(), plain=True)
            return fit(training, make_fabric("cpu", "fp32"), checkpoint, console, note)

    whole = run_once("one", 0)
    with pytest.raises(Stopped):
        run_once("three", 3, stop=True)
    resumed = run_once("three", 1)
    for name, value in whole.final_state.items():
        assert torch.equal(value, resumed.final_state[name]), name
    assert whole.chosen_epoch == resumed.chosen_epoch


def test_cached_teacher_answers_about_the_mixed_image(loader: Loader, tmp_path: Path) -> None:
    mixed = Augmentation(AugmentSettings(crop="shift", mixup=0.4, cutmix=1.0), GEOMETRY, 3, cycle=2)
    torch.manual_seed(1)
    visual = TappedNetwork(build(Architecture("resnet8", "cifar"), 2), (0.5,) * 3, (0.2,) * 3, SIZE).eval()
    teacher = MultiViewTeacher(visual, Views({}), uniform_weighting, 1.0)
    looks: list[int] = []
    visual.register_forward_pre_hook(lambda _module, inputs: looks.append(len(inputs[0])))
    cached = CachedTeacher(teacher, tmp_path, 2, len(loader.index.splits["train"]), {"logits": "logits"}, pool=2)
    for batch in loader.training_batches(mixed, 8, 3, 0):
        cached(images_to_device(batch.images, torch.device("cpu")), batch.labels, 0, batch.indices)
    seen = len(looks)
    for batch in loader.training_batches(mixed, 8, 3, 2):  # the same images in another order
        images = images_to_device(batch.images, torch.device("cpu"))
        found = cached(images, batch.labels, 2, batch.indices)
        assert len(looks) == seen
        torch.testing.assert_close(found.logits, teacher(images, batch.labels).logits)
        seen = len(looks)
