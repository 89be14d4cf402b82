"""A student that was truly trained, on three kinds of drawn images that it tells apart."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from exporters.core.files import sha256_bytes  # noqa: E402
from exporters.images.preprocessing import Preprocessing  # noqa: E402
from exporters.onnx.export import OnnxExport, export_onnx  # noqa: E402
from exporters.onnx.reader import read_onnx  # noqa: E402
from exporters.student.architectures import Architecture, build  # noqa: E402
from exporters.student.student import TrainedStudent, load_student, save_student  # noqa: E402
from tests.exporters.conftest import MEAN, STD, random_images  # noqa: E402

CLASSES = ["red", "green", "blue"]
PREPROCESSING = Preprocessing(32, 36, MEAN, STD)


@dataclass(frozen=True)
class Trained:
    """The student, its fp32 file, the folder that it lies in, and images in folders of classes: seen, and others."""

    student: TrainedStudent
    model: bytes
    folder: Path
    seen: Path
    unseen: Path


def kind_of(index: int, seed: int) -> np.ndarray:
    """Patches that are brighter in the channel of the class: uint8 `[40, 40, 3]`."""
    image = random_images(1, 40, seed)[0].astype(np.int64) // 2
    image[..., index] += 70
    return np.clip(image, 0, 255).astype(np.uint8)


def draw(folder: Path, each: int, seed: int) -> Path:
    for index, label in enumerate(CLASSES):
        (folder / label).mkdir(parents=True)
        for number in range(each):
            Image.fromarray(kind_of(index, seed + number)).save(folder / label / f"{number:02}.png")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A CIFAR ResNet-8 after a few dozen steps; nothing of it may be changed."""
    root = tmp_path_factory.mktemp("trained")
    seen, unseen = draw(root / "seen", 12, 0), draw(root / "unseen", 16, 500)
    paths = sorted(seen.rglob("*.png"))
    images = np.stack([PREPROCESSING.apply(Image.open(path)) for path in paths])
    labels = torch.tensor([CLASSES.index(path.parent.name) for path in paths])
    x = (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(
        STD
    ).view(3, 1, 1)
    torch.manual_seed(0)
    architecture = Architecture("resnet8", "cifar")
    module = build(architecture, len(CLASSES)).train()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    for _ in range(25):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(x), labels).backward()
        optimizer.step()
    folder = root / "student"
    save_student(module.eval(), architecture, CLASSES, PREPROCESSING, folder, name="colours")
    student = load_student(folder)
    model = export_onnx(student, root / "model.onnx").path.read_bytes()
    return Trained(student, model, folder, seen, unseen)


def named(data: bytes, name: str, licence: str | None) -> bytes:
    """The file under another name and licence."""
    model = onnx.load_from_string(data)
    metadata = {entry.key: entry.value for entry in model.metadata_props} | {"name": json.dumps(name)}
    if licence is not None:
        metadata["licence"] = json.dumps(licence)
    del model.metadata_props[:]
    for key in sorted(metadata):
        model.metadata_props.add(key=key, value=metadata[key])
    return model.SerializeToString()


Exports = Callable[[bytes], None]


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> Exports:
    """Told a file, lets the exporter write it in place of its own: where faults are planted, and time is saved."""

    def written(data: bytes) -> None:
        def write(
            _student: TrainedStudent,
            path: Path,
            opset: int,
            *,
            name: str | None = None,
            licence: str | None = None,
            **_asked: object,
        ) -> OnnxExport:
            content = data if name is None else named(data, name, licence)
            path.write_bytes(content)
            operators = dict(read_onnx(content).operators)
            return OnnxExport(path, sha256_bytes(content), len(content), opset, 10, operators)

        monkeypatch.setattr("exporters.onnx.export.export_onnx", write)

    return written
