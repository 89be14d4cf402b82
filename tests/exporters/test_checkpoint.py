from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from exporters.architectures import Architecture, build
from exporters.checkpoint import load_checkpoint
from exporters.errors import TmkdError, UnavailableError, UsageError
from exporters.files import sha256_file
from exporters.preprocessing import Preprocessing
from exporters.student import save_student
from tests.exporters.conftest import LABELS, MEAN, STD, randomise

RESNET8 = Architecture("resnet8", "cifar")


@pytest.fixture(scope="module")
def module() -> torch.nn.Module:
    torch.manual_seed(0)
    return randomise(build(RESNET8, len(LABELS)), 1)


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    return all(torch.equal(value, two.state_dict()[key]) for key, value in one.state_dict().items())


@pytest.mark.parametrize("form", ["safetensors", "raw", "wrapped", "averaged"])
def test_weights_files(module: torch.nn.Module, tmp_path: Path, form: str) -> None:
    state = module.state_dict()
    prefixed = OrderedDict((f"module.{key}", value) for key, value in state.items())
    path = tmp_path / ("net.safetensors" if form == "safetensors" else "net.pth")
    if form == "safetensors":
        save_file(state, path)
    else:
        content = {
            "raw": state,
            "wrapped": {"state_dict": prefixed, "epoch": 3},
            "averaged": {"model_ema": {**prefixed, "n_averaged": torch.tensor(3)}, "epoch": 3},
        }
        torch.save(content[form], path)
    loaded = load_checkpoint(path, model="resnet8", mean=MEAN, std=STD)
    student = loaded.student
    assert same(module, student.module) and not student.module.training
    assert student.labels == [f"class_{index}" for index in range(7)]
    assert student.preprocessing == Preprocessing(32, 32, MEAN, STD)
    assert (student.name, student.weights_sha256) == ("net", sha256_file(path))
    assert student.architecture == RESNET8
    assert [note for note in loaded.notes if "class_6" in note]


def test_students_and_run_directories(module: torch.nn.Module, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "distill" / "chosen"
    described = save_student(module, RESNET8, LABELS, Preprocessing(32, 36, MEAN, STD), folder, name="finches")
    for path in (tmp_path / "run", folder, described):
        loaded = load_checkpoint(path)
        assert same(module, loaded.student.module)
        assert (loaded.student.labels, loaded.student.name, loaded.notes) == (LABELS, "finches", ())
        assert loaded.student.preprocessing.resize == 36
    others = [f"other {index}" for index in range(7)]
    renamed = load_checkpoint(folder, labels=others, name="mine").student
    assert (renamed.labels, renamed.name) == (others, "mine")
    with pytest.raises(UsageError, match=r"says of itself what model, mean"):
        load_checkpoint(folder, model="resnet8", mean=MEAN)


def test_what_libraries_publish_is_taken_and_told(tmp_path: Path) -> None:
    architecture = Architecture("squeezenet1_1", "torchvision")
    path = tmp_path / "net.pt"
    torch.save(build(architecture, 5).state_dict(), path)
    loaded = load_checkpoint(path, model="squeezenet1_1")
    assert loaded.student.preprocessing == Preprocessing(224, 256, MEAN, STD)
    assert "mean, std, image size, filter: as published for torchvision SqueezeNet1_1" in loaded.notes[0]
    assert len(loaded.student.labels) == 5
    own = load_checkpoint(path, model="squeezenet1_1", image_size=96, mean=(0.5,) * 3, std=STD, resize=100)
    assert own.student.preprocessing == Preprocessing(96, 100, (0.5,) * 3, STD)
    assert own.notes[0].startswith("filter: as published")


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ("no model", UsageError, "--model"),
        ("no such file", UnavailableError, "no such weights file"),
        ("no mean", UsageError, "--mean, --std must be given"),
        ("labels", UsageError, "2 labels, but .* has 7 classes"),
        ("another network", UnavailableError, "missing layer1.1"),
        ("no classifier", UnavailableError, "number of classes cannot be read"),
        ("suffix", UsageError, "not a weights file by its name"),
        ("empty folder", UnavailableError, "no student here"),
    ],
)
def test_what_cannot_be_loaded(
    module: torch.nn.Module, tmp_path: Path, change: str, error: type[TmkdError], told: str
) -> None:
    path = tmp_path / "net.pt"
    state = dict(module.state_dict())
    arguments: dict[str, object] = {"model": "resnet8", "mean": MEAN, "std": STD}
    if change == "no model":
        del arguments["model"]
    elif change == "no mean":
        del arguments["mean"], arguments["std"]
    elif change == "labels":
        arguments["labels"] = ["a", "b"]
    elif change == "another network":
        arguments["model"] = "cifar:resnet14"
    elif change == "no classifier":
        state = {key: value for key, value in state.items() if not key.startswith("linear")}
    torch.save(state, path)
    if change == "no such file":
        path = tmp_path / "none.pt"
    elif change == "suffix":
        path = path.rename(tmp_path / "net.onnx")
    elif change == "empty folder":
        path = tmp_path / "folder"
        path.mkdir()
    with pytest.raises(error, match=told) as caught:
        load_checkpoint(path, **arguments)  # type: ignore[arg-type]
    assert caught.value.remedy
