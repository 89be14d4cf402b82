"""A bundle is verified and used by the base dependencies and ONNX Runtime alone, without a network."""

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .conftest import LABELS, Exported

ROOT = Path(__file__).resolve().parents[2]

WITHOUT = """
import socket, sys

FORBIDDEN = {"cyclonedx", "jsonschema", "onnx", "onnxscript", "safetensors", "timm", "torch", "torchvision", "scipy"}

class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{name} is not part of a client")

def no_network(*arguments, **more):
    raise OSError("a bundle is verified offline")

sys.meta_path.insert(0, Refuses())
socket.socket.connect = no_network
from pipeline.__main__ import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def photos(cifar: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for index, (pixels, label) in enumerate(zip(cifar.images, cifar.logits.argmax(axis=1), strict=True)):
        (root / LABELS[label]).mkdir(exist_ok=True)
        Image.fromarray(np.pad(pixels, ((2, 2), (2, 2), (0, 0)))).save(root / LABELS[label] / f"{index}.png")
    return root


def test_verify_and_predict_need_no_training_packages(packed: Path, photos: Path) -> None:
    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    verified = run("verify", packed, "--data", photos)
    assert verified.returncode == 0, verified.stderr
    assert "verified" in verified.stdout and "accuracy: model.onnx 1.0000" in verified.stdout
    photo = next(photos.rglob("*.png"))
    predicted = run("predict", packed, photo, "--top", "1")
    assert predicted.returncode == 0 and predicted.stdout.strip().endswith(photo.parent.name)
    refused = run("verify", packed, "--data", packed)
    assert refused.returncode == 4 and "no images here" in refused.stderr


def test_explaining_needs_no_training_packages(packed_with_cam: Path, photos: Path, tmp_path: Path) -> None:
    photo = next(photos.rglob("*.png"))
    words = ("predict", packed_with_cam, photo, "--explain", tmp_path / "out", "--json")
    command = [sys.executable, "-c", WITHOUT, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    with Image.open(told["picture"]) as picture:
        assert picture.size == (288, 288) and picture.text["label"] == told["predictions"][0]["label"]


@pytest.mark.network
@pytest.mark.slow
def test_runtime_extra_alone_verifies_a_bundle(packed: Path, photos: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    source = tmp_path / "source"
    for name in ("exporters", "pipeline", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"{source}[runtime]"], check=True, cwd=tmp_path)
    absent = "import importlib.util as u, sys; sys.exit(any(u.find_spec(n) for n in ('torch', 'onnx', 'cyclonedx')))"
    subprocess.run([python, "-c", absent], check=True, cwd=tmp_path)
    program = environment / "bin" / "tmkd-pipeline"
    done = subprocess.run(
        [program, "verify", packed, "--data", photos], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0 and "accuracy: model.onnx 1.0000" in done.stdout, done.stderr
    schema = subprocess.run(
        [program, "schema", "--of", "manifest"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "files" in json.loads(schema.stdout)["properties"]
