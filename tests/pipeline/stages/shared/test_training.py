import io
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters.images.preprocessing import Preprocessing
from exporters.student.architectures import Architecture, build
from pipeline.console import Console
from pipeline.data.augmentation import Augmentation
from pipeline.data.indexing import build_index
from pipeline.data.loading import Batch, Loader
from pipeline.data.settings import AugmentSettings, DataSettings
from pipeline.distill.build import build_method
from pipeline.distill.methods.ce import CrossEntropy
from pipeline.distill.settings import DistillSettings
from pipeline.distill.task import DistillationTask
from pipeline.models.outputs import NetworkOutput
from pipeline.models.tapped import TappedNetwork
from pipeline.stages.shared.inputs import Data
from pipeline.stages.shared.training import make_job, student_job
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import make_fabric
from pipeline.training.loop import Step, fit
from pipeline.training.settings import FitSettings
from tests.pipeline.data.conftest import write_folders
from tests.pipeline.distill.networks import loss_settings

SIZE = 16
PREPROCESSING = Preprocessing(SIZE, SIZE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
TRAINING_IMAGES = 14


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    counts = {"train/duck": 7, "train/teal": 7, "val/duck": 3, "val/teal": 3, "test/duck": 1, "test/teal": 1}
    root = write_folders(tmp_path_factory.mktemp("data"), counts)
    index = build_index(DataSettings(dataset="folder", root=str(root), image_size=SIZE))
    assert len(index.splits["train"]) == TRAINING_IMAGES
    return Data(index, Loader(index, index.root, workers=0), PREPROCESSING)


def augmentation(seed: int = 3) -> Augmentation:
    return Augmentation(AugmentSettings(crop="shift"), PREPROCESSING, seed)


def network(seed: int = 0) -> TappedNetwork:
    torch.manual_seed(seed)
    return TappedNetwork(build(Architecture("resnet8", "cifar"), 2), (0.5,) * 3, (0.2,) * 3, SIZE)


def plain_task(student: TappedNetwork) -> DistillationTask:
    return DistillationTask(student, CrossEntropy(loss_settings(ce={"weight": 1.0}), student.shape, None))


@pytest.mark.parametrize(("batch_size", "steps"), [(4, 3), (7, 2), (14, 1), (8, 1), (50, 1)])
def test_a_pass_has_as_many_batches_as_it_says_and_no_partial_one(data: Data, batch_size: int, steps: int):
    settings = FitSettings(batch_size=batch_size, epochs=2)
    task = plain_task(network())
    job = make_job("toy", task, lambda *_: {}, lambda: 0.5, data, settings, augmentation(), seed=3)
    assert job.steps_per_pass == steps
    for pass_ in range(2):
        batches = list(job.batches(pass_))
        assert [len(batch.labels) for batch in batches] == [min(batch_size, TRAINING_IMAGES)] * steps
        again = list(job.batches(pass_))
        assert all(torch.equal(one.images, two.images) for one, two in zip(batches, again, strict=True))
    assert (job.settings, job.seed, job.module) == (settings, 3, task)


def test_seeds_order_the_images(data: Data):
    def order(seed: int, pass_: int) -> list[int]:
        settings = FitSettings(batch_size=7)
        job = make_job("toy", plain_task(network()), lambda *_: {}, lambda: 0.5, data, settings, augmentation(), seed)
        return torch.cat([batch.indices for batch in job.batches(pass_)]).tolist()

    assert sorted(order(3, 0)) == list(range(TRAINING_IMAGES))
    assert order(3, 0) != order(3, 1)
    assert order(3, 0) != order(4, 0)


def test_the_score_is_the_accuracy_on_plain_validation_images(data: Data):
    student = network().train()
    fabric = make_fabric("cpu", "fp32")
    job = student_job("toy", plain_task(student), data, FitSettings(), augmentation(), fabric, seed=3)
    score = job.evaluate()
    assert not student.training
    (batch,) = data.loader.evaluation_batches("validation", PREPROCESSING, 100)
    with torch.no_grad():
        answers = student(batch.images.float() / 255).logits.numpy().argmax(axis=1)
    assert score == pytest.approx((answers == batch.labels.numpy()).mean())


def step_of(batch: Batch, passes: float) -> Step:
    return Step(batch.images.float() / 255, batch.labels, batch.indices, int(passes), passes)


def test_the_teacher_sees_what_the_student_sees_in_the_same_precision(data: Data):
    student, visual = network(0), network(1).eval().requires_grad_(False)
    method = build_method(DistillSettings(method="kd"), student.shape, visual.shape, None)
    asked: list[Step] = []
    dtypes: list[torch.dtype] = []

    def teacher(step: Step) -> NetworkOutput:
        asked.append(step)
        output = visual(step.images)
        dtypes.append(output.logits.dtype)
        return output

    fabric = make_fabric("cpu", "bf16")
    task = DistillationTask(student, method)
    job = student_job("toy", task, data, FitSettings(batch_size=7), augmentation(), fabric, seed=3, teacher=teacher)
    step = step_of(next(iter(job.batches(0))), 0.5)
    losses = job.losses(fabric.setup(task), step)
    assert set(losses) == {"ce", "logits"}
    assert all(loss.dtype == torch.float32 and loss.requires_grad for loss in losses.values())
    assert len(asked) == 1 and asked[0] is step
    assert dtypes == [torch.bfloat16]


def test_features_are_warmed_up_over_the_passes(data: Data):
    student, visual = network(0).eval(), network(1).eval().requires_grad_(False)
    method = build_method(DistillSettings(method="cat_kd"), student.shape, visual.shape, None)
    task = DistillationTask(student, method).eval()
    fabric = make_fabric("cpu", "fp32")
    job = student_job(
        "toy",
        task,
        data,
        FitSettings(batch_size=7),
        augmentation(),
        fabric,
        seed=3,
        teacher=lambda step: visual(step.images),
        warmup=4,
    )
    batch = next(iter(job.batches(0)))
    early, late, after = (job.losses(task, step_of(batch, passes)) for passes in (1.0, 4.0, 6.0))
    assert early["feature"].item() == pytest.approx(late["feature"].item() / 4, rel=1e-5)
    assert after["feature"].item() == late["feature"].item() > 0
    assert early["ce"].item() == late["ce"].item()


def test_two_kinds_of_images_are_told_apart_after_a_few_passes(tmp_path: Path):
    from PIL import Image

    draws = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 8), ("test", 2)):
        for kind, level in (("dark", 40), ("light", 170)):
            for number in range(count):
                pixels = draws.integers(level, level + 60, (SIZE, SIZE, 3), dtype=np.uint8)
                path = tmp_path / "images" / split / kind / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    index = build_index(DataSettings(dataset="folder", root=str(tmp_path / "images"), image_size=SIZE))
    own = Data(index, Loader(index, index.root, workers=0), PREPROCESSING)
    student, fabric = network(), make_fabric("cpu", "fp32")
    settings = FitSettings(epochs=5, batch_size=8, lr=0.02)
    job = student_job("toy", plain_task(student), own, settings, augmentation(), fabric, seed=3)
    fitted = fit(job, fabric, Checkpoint(tmp_path / "checkpoint.pt", "one"), Console(io.StringIO(), plain=True))
    assert fitted.chosen_score == 1.0
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"]
    job.module.load_state_dict(fitted.chosen_state)
    assert job.evaluate() == 1.0
