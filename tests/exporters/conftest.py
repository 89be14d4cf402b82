"""Two small students with the statistics of trained ones, exported once for all tests of this folder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from exporters.audit import audit_export  # noqa: E402
from exporters.benchmark import measure  # noqa: E402
from exporters.bundle.contents import BundleContents, BundleFacts, Known, KnownModel, ShippedModel  # noqa: E402
from exporters.bundle.pack import pack  # noqa: E402
from exporters.images.preprocessing import Preprocessing  # noqa: E402
from exporters.onnx.cam import find_cam_source, with_cam  # noqa: E402
from exporters.onnx.export import OnnxExport, export_onnx  # noqa: E402
from exporters.parity import Evidence, ParityGate  # noqa: E402
from exporters.runtimes import OnnxRuntime, TorchRuntime  # noqa: E402
from exporters.student.architectures import Architecture, build  # noqa: E402
from exporters.student.student import TrainedStudent, load_student, save_student  # noqa: E402
from tests.exporters.graphs import converting_once  # noqa: E402

LABELS = ["red-crested finch", "grey gull", "Ærø tern", "black rail", "wren", "blue jay", "owl"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def randomise(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights and batch-norm statistics as after training: nothing is 0 or 1, so that folding is not trivial."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.3, generator=random)
                part.running_var.uniform_(0.5, 2, generator=random)
                part.weight.uniform_(0.5, 1.5, generator=random)
                part.bias.normal_(0, 0.3, generator=random)
            elif isinstance(part, torch.nn.Linear):
                part.weight.normal_(0, 0.1, generator=random)
                if part.bias is not None:
                    part.bias.normal_(0, 0.3, generator=random)
            elif isinstance(part, torch.nn.LayerNorm | torch.nn.GroupNorm) and part.weight is not None:
                part.weight.uniform_(0.5, 1.5, generator=random)
                if part.bias is not None:
                    part.bias.normal_(0, 0.3, generator=random)
        for name, parameter in module.named_parameters():
            if name.endswith("gamma"):  # a layer's scale, which starts near 0
                parameter.uniform_(0.2, 1, generator=random)
    return module.eval()


def make_student(folder: Path, architecture: Architecture, size: int, labels: Sequence[str] = LABELS) -> TrainedStudent:
    torch.manual_seed(7)
    module = randomise(build(architecture, len(labels)), 3)
    preprocessing = Preprocessing(size, size + 4, MEAN, STD)
    return load_student(save_student(module, architecture, list(labels), preprocessing, folder, name="finches"))


def random_images(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Smooth colour patches with noise: neighbouring pixels agree, as in photographs."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 4, 4, 3)).repeat(size // 4, axis=1).repeat(size // 4, axis=2)
    return np.clip(coarse + random.integers(-20, 21, coarse.shape), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Exported:
    student: TrainedStudent
    export: OnnxExport
    data: bytes
    entries: list[dict[str, Any]]
    images: np.ndarray
    logits: np.ndarray


def _exported(folder: Path, architecture: Architecture, size: int) -> Exported:
    student = make_student(folder, architecture, size)
    with converting_once():  # for the mutants of a file, too, which are forked from one process
        export = export_onnx(student, folder / "model.onnx")
    data = export.path.read_bytes()
    images = random_images(20, size)
    return Exported(student, export, data, audit_export(data, student), images, TorchRuntime(student).predict(images))


@pytest.fixture(scope="session")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A CIFAR ResNet-8 at 32 pixels."""
    return _exported(tmp_path_factory.mktemp("cifar"), Architecture("resnet8", "cifar"), 32)


@pytest.fixture(scope="session")
def shufflenet(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A ShuffleNetV2 of torchvision at 64 pixels."""
    return _exported(tmp_path_factory.mktemp("shufflenet"), Architecture("shufflenet_v2_x0_5", "torchvision"), 64)


def results(cifar: Exported, rightly: int) -> dict[str, Any]:
    """What a bundle tells of a split: the 20 images, of which so many were answered rightly."""
    truth = cifar.logits.argmax(axis=1)
    hits = np.arange(len(truth)) < rightly
    per_class = {
        label: {"images": int(np.sum(truth == place)), "correct": int(np.sum(hits & (truth == place)))}
        for place, label in enumerate(LABELS)
    }
    return {"images": len(truth), "correct": rightly, "sha256": "ef" * 32, "per_class": per_class}


@pytest.fixture(scope="session")
def contents(cifar: Exported) -> BundleContents:
    """What a bundle of the CIFAR student is made of."""
    reference, candidate = TorchRuntime(cifar.student), OnnxRuntime(cifar.export.path, threads=1)
    names = [f"bird{index}.jpg" for index in range(len(cifar.images))]
    batches = [(cifar.images, cifar.logits.argmax(axis=1), names)]
    report = Evidence(reference, lambda: batches, part=8).report(candidate, ParityGate(1e-4, 0.999, 0.001))
    return BundleContents(
        name="finches",
        architecture="cifar:resnet8",
        parameters=cifar.student.parameters,
        models=[ShippedModel("model.onnx", "fp32", cifar.data, cifar.entries)],
        preprocessing=cifar.student.preprocessing,
        labels=LABELS,
        golden_images=cifar.images[:8],
        golden_logits=cifar.logits[:8],
        parity={"fp32": report.to_json()},
        benchmark=measure({"onnx": candidate}, cifar.images, seconds=0.0, batch=4),
        facts=BundleFacts(
            recipe_sha256="ab" * 32,
            data_fingerprint="cd" * 32,
            licences={"weights": None, "data": "CC-BY-NC-4.0", "code": "Apache-2.0"},
            teacher={"visual": "resnet50 | timm"},
            versions={"torch": torch.__version__},
            metrics={"test top-1": 0.8125, "per class": {"wren": 0.5}, "not measured": None},
            data={"name": "birds", "classes": len(LABELS)},
            results={split: results(cifar, rightly) for split, rightly in (("validation", 18), ("test", 13))},
            command="tmkd-pipeline run recipe.lock.yaml",
            provenance="The twelve lines of TMKD are a reconstruction.",
        ),
    )


@pytest.fixture(scope="session")
def contents_with_cam(cifar: Exported, contents: BundleContents) -> BundleContents:
    """The same with class activation maps."""
    reference = TorchRuntime(cifar.student)
    data = with_cam(cifar.data, find_cam_source(cifar.data)).data
    batches = [(cifar.images, cifar.logits.argmax(axis=1), [f"bird{index}.jpg" for index in range(len(cifar.images))])]
    evidence = Evidence(reference, lambda: batches, part=8, maps=True)
    report = evidence.report(OnnxRuntime(data, threads=1), ParityGate(1e-4, 0.999, 0.001))
    return replace(
        contents,
        models=[ShippedModel("model.onnx", "fp32", data, audit_export(data, cifar.student))],
        parity={"fp32": report.to_json()},
        golden_cam=reference.explain(cifar.images[:8]).cam,
    )


@pytest.fixture(scope="session")
def contents_with_known(cifar: Exported, contents: BundleContents) -> BundleContents:
    """The same, telling images apart by energy: of 20 validation images the threshold is the fourth smallest score."""
    energies = np.log(np.exp(cifar.logits.astype(np.float64)).sum(axis=1))
    model = KnownModel(float(np.sort(energies)[3]), {"validation": 3, "test": 5, "drawn noise": 9})
    images = {"validation": 20, "test": 20, "drawn noise": 10}
    return replace(contents, known=Known("energy", 0.2, images, {"model.onnx": model}))


@pytest.fixture(scope="session")
def packed_with_known(contents_with_known: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that tells images apart, and that no test may change."""
    folder = tmp_path_factory.mktemp("packed_with_known") / "bundle"
    pack(contents_with_known, folder)
    return folder


@pytest.fixture(scope="session")
def packed_with_cam(contents_with_cam: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with class activation maps that no test may change."""
    folder = tmp_path_factory.mktemp("packed_with_cam") / "bundle"
    pack(contents_with_cam, folder)
    return folder


@pytest.fixture(scope="session")
def packed(contents: BundleContents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that no test may change."""
    folder = tmp_path_factory.mktemp("packed") / "bundle"
    pack(contents, folder)
    return folder
