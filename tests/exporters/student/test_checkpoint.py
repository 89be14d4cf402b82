import argparse
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from exporters.core.errors import TmkdError, UnavailableError, UsageError
from exporters.core.files import sha256_file, write_json
from exporters.images.preprocessing import Preprocessing
from exporters.student.architectures import Architecture, build
from exporters.student.checkpoint import CheckpointOptions, LoadedCheckpoint, load_checkpoint, shipped_calibration
from exporters.student.student import save_student
from tests.exporters.conftest import LABELS, MEAN, STD, randomise

RESNET8 = Architecture("resnet8", "cifar")


def load(path: Path, **options: object) -> LoadedCheckpoint:
    return load_checkpoint(path, CheckpointOptions(**options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def module() -> torch.nn.Module:
    torch.manual_seed(0)
    return randomise(build(RESNET8, len(LABELS)), 1)


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    return all(torch.equal(value, two.state_dict()[key]) for key, value in one.state_dict().items())


@pytest.mark.parametrize("form", ["safetensors", "raw", "wrapped", "averaged"])
def test_weights_files_of_every_form_are_loaded(module: torch.nn.Module, tmp_path: Path, form: str) -> None:
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
    loaded = load(path, model="resnet8", mean=MEAN, std=STD)
    student = loaded.student
    assert same(module, student.module) and not student.module.training
    assert student.labels == [f"class_{index}" for index in range(7)]
    assert student.preprocessing == Preprocessing(32, 32, MEAN, STD)
    assert (student.name, student.weights_sha256) == ("net", sha256_file(path))
    assert student.architecture == RESNET8
    assert [note for note in loaded.notes if "class_6" in note]


def test_students_and_run_directories_are_loaded(module: torch.nn.Module, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "distill" / "chosen"
    described = save_student(module, RESNET8, LABELS, Preprocessing(32, 36, MEAN, STD), folder, name="finches")
    for path in (tmp_path / "run", folder, described):
        loaded = load_checkpoint(path)
        assert same(module, loaded.student.module)
        assert (loaded.student.labels, loaded.student.name, loaded.notes) == (LABELS, "finches", ())
        assert loaded.student.preprocessing.resize == 36
    others = [f"other {index}" for index in range(7)]
    renamed = load(folder, labels=others, name="mine").student
    assert (renamed.labels, renamed.name) == (others, "mine")
    with pytest.raises(UsageError, match=r"says of itself what model, mean"):
        load(folder, model="resnet8", mean=MEAN)


@pytest.mark.parametrize("passed", [True, False])
def test_missed_gate_of_a_run_is_noted(module: torch.nn.Module, tmp_path: Path, passed: bool) -> None:
    preprocessing = Preprocessing(32, 36, MEAN, STD)
    save_student(module, RESNET8, LABELS, preprocessing, tmp_path / "distill" / "chosen", name="mine")
    gate = {"key": "validate.min_top1", "bound": 0.3, "measured": 0.2, "passed": passed}
    write_json(tmp_path / "validate" / "verdict.json", {"gates": [gate], "passed": passed})
    notes = load(tmp_path).notes
    expected = "the student missed a gate of its run, validate.min_top1: 0.2, asked for 0.3"
    assert notes == (() if passed else (expected,))


def test_published_preprocessing_is_used_and_noted(tmp_path: Path) -> None:
    architecture = Architecture("squeezenet1_1", "torchvision")
    path = tmp_path / "net.pt"
    torch.save(build(architecture, 5).state_dict(), path)
    loaded = load(path, model="squeezenet1_1")
    assert loaded.student.preprocessing == Preprocessing(224, 256, MEAN, STD)
    assert "mean, std, image size, filter: as published for torchvision SqueezeNet1_1" in loaded.notes[0]
    assert len(loaded.student.labels) == 5
    own = load(path, model="squeezenet1_1", image_size=96, mean=(0.5,) * 3, std=STD, resize=100)
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
def test_unloadable_checkpoints_are_refused(
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
        load(path, **arguments)  # type: ignore[arg-type]
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("model", "size", "arguments", "told", "remedy"),
    [
        ("timm:vit_tiny_patch16_224", 96, {"depth": 1}, "cannot take images of 96 × 96", "--image-size"),
        ("timm:test_resnet", 64, {"in_chans": 1}, "takes images of 1 channel, not of 3", "in_chans"),
        ("timm:test_resnet", 64, {"features_only": True}, "has no classifier when built with", "features_only"),
        ("torchvision:inception_v3", 64, {}, "cannot take images of 64 × 64", "--image-size"),
    ],
)
def test_networks_that_reject_the_images_are_refused(
    tmp_path: Path, model: str, size: int, arguments: dict[str, object], told: str, remedy: str
) -> None:
    source, name = model.split(":")
    path = tmp_path / "net.pt"
    torch.save(build(Architecture(name, source, dict(arguments)), 3).state_dict(), path)
    with pytest.raises(UsageError, match=told) as caught:
        load(path, model=model, arguments=arguments, image_size=size, mean=MEAN, std=STD)
    assert remedy in str(caught.value.remedy)


def test_saved_student_that_rejects_its_images_is_refused(tmp_path: Path) -> None:
    architecture = Architecture("vit_tiny_patch16_224", "timm", {"depth": 1})
    save_student(build(architecture, 3), architecture, ["a", "b", "c"], Preprocessing(96, 96, MEAN, STD), tmp_path)
    with pytest.raises(UsageError, match="cannot take images of 96 × 96"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("builder", [{"embed_dim": -1}, {"depth": "x"}, {"nonsense": 1}])
def test_unbuildable_arguments_are_refused(tmp_path: Path, builder: dict[str, object]) -> None:
    torch.save(build(Architecture("test_vit", "timm"), 3).state_dict(), tmp_path / "net.pt")
    with pytest.raises(UsageError, match="cannot be built with") as caught:
        load(tmp_path / "net.pt", model="timm:test_vit", arguments=builder, mean=MEAN, std=STD)
    assert caught.value.remedy


@pytest.mark.parametrize("alone", ["mean", "std"])
def test_mean_and_std_are_given_both_or_not_at_all(module: torch.nn.Module, tmp_path: Path, alone: str) -> None:
    torch.save(module.state_dict(), tmp_path / "net.pt")
    with pytest.raises(UsageError, match=f"--{alone} without --"):
        load(tmp_path / "net.pt", model="resnet8", **{alone: (0.5, 0.5, 0.5)})  # type: ignore[arg-type]


BYTES = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}


def test_normalisation_of_bytes_is_refused_from_wherever_it_comes(module: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(module.state_dict(), tmp_path / "net.pt")
    kept = argparse.Namespace(**{key: list(values) for key, values in BYTES.items()})
    torch.save({"state_dict": module.state_dict(), "args": kept}, tmp_path / "script.pt")
    for path, given, message in (
        (tmp_path / "net.pt", BYTES, "--mean: .123"),
        (tmp_path / "net.pt", {**BYTES, "mean": MEAN}, "--std: .58"),
        (tmp_path / "script.pt", {}, "script.pt: args.mean: .123"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            load(path, model="resnet8", **given)  # type: ignore[arg-type]
        assert "divided by 255" in str(caught.value.remedy) and "0.229,0.224,0.225" in str(caught.value.remedy)


def test_settings_of_the_training_script_override_published_ones(tmp_path: Path) -> None:
    state = build(Architecture("squeezenet1_1", "torchvision"), 5).state_dict()
    kept = argparse.Namespace(mean=[0.5, 0.5, 0.5], std=(0.5, 0.5, 0.5), img_size=96, interpolation="bicubic")
    torch.save({"state_dict": state, "args": kept}, tmp_path / "timm.pth.tar")
    loaded = load(tmp_path / "timm.pth.tar", model="squeezenet1_1")
    assert loaded.student.preprocessing == Preprocessing(96, 110, (0.5,) * 3, (0.5,) * 3, "bicubic")
    assert "mean, std, image size, filter: as the training script kept them in timm.pth.tar" in loaded.notes
    assert loaded.student.name == "timm"
    kept = argparse.Namespace(val_crop_size=128, val_resize_size=144, interpolation="bilinear")
    torch.save({"model": state, "args": kept}, tmp_path / "torchvision.pth")
    loaded = load(tmp_path / "torchvision.pth", model="squeezenet1_1", mean=(0.4,) * 3, std=(0.3,) * 3)
    assert loaded.student.preprocessing == Preprocessing(128, 144, (0.4,) * 3, (0.3,) * 3)
    for null in (None, [], [0.5, 0.5], ["a", "b", "c"]):
        torch.save({"model": state, "args": argparse.Namespace(mean=null, std=null, img_size=None)}, tmp_path / "a.pt")
        assert load(tmp_path / "a.pt", model="squeezenet1_1").student.preprocessing.mean == MEAN


def test_reversed_channels_are_noted(module: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(module.state_dict(), tmp_path / "net.pt")
    mean, std = (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)
    assert any("BGR" in note for note in load(tmp_path / "net.pt", model="resnet8", mean=mean, std=std).notes)


def test_weights_key_chooses_the_set_of_weights(module: torch.nn.Module, tmp_path: Path) -> None:
    averaged = {key: value * 2 for key, value in module.state_dict().items()}
    path = tmp_path / "best.pth.tar"
    torch.save({"state_dict": module.state_dict(), "state_dict_ema": averaged}, path)
    plain = load(path, model="resnet8", mean=MEAN, std=STD)
    assert same(module, plain.student.module)
    assert "state_dict was taken. The others: state_dict_ema; --weights-key chooses." in plain.notes[0]
    chosen = load(path, model="resnet8", mean=MEAN, std=STD, weights_key="state_dict_ema")
    assert torch.equal(chosen.student.module.state_dict()["conv1.weight"], averaged["conv1.weight"])


def test_auxiliary_heads_of_published_files_are_left_out(tmp_path: Path) -> None:
    """torchvision's Inception checkpoints have them, and recipes read these."""
    whole = torchvision.models.googlenet(weights=None, init_weights=False, num_classes=4)
    torch.save(whole.state_dict(), tmp_path / "googlenet.pth")
    loaded = load(tmp_path / "googlenet.pth", model="googlenet", mean=MEAN, std=STD, image_size=64)
    assert torch.equal(loaded.student.module.fc.weight, whole.fc.weight)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize(("off", "same_weights"), [(None, True), (None, False), ("it would make it worse", True)])
def test_run_gives_the_temperature_that_it_fitted_to_these_weights(
    module: torch.nn.Module, tmp_path: Path, off: str | None, same_weights: bool
) -> None:
    chosen = tmp_path / "distill" / "chosen"
    save_student(module, RESNET8, LABELS, Preprocessing(32, 36, MEAN, STD), chosen, name="mine")
    weights = sha256_file(chosen / "student.safetensors") if same_weights else "0" * 64
    calibration = {"temperature": 1.5, "fitted": 1.5, "off": off, "splits": {}, "weights_sha256": weights}
    write_json(tmp_path / "validate" / "verdict.json", {"gates": [], "calibration": calibration})
    expected = {"temperature": 1.5, "splits": {}} if same_weights and off is None else None
    assert load(tmp_path).calibration == expected
    assert load(chosen).calibration is None


@pytest.mark.parametrize("verdict", [{}, {"calibration": None}, {"calibration": {"off": "why", "temperature": 1.0}}])
def test_nothing_ships_where_no_temperature_is_applied(verdict: dict[str, object]) -> None:
    assert shipped_calibration(verdict) is None


def test_temperature_ships_with_its_figures_alone() -> None:
    splits = {"validation": {"images": 1200}}
    applied = {"temperature": 2.5, "fitted": 2.5, "off": None, "splits": splits, "weights_sha256": "0"}
    assert shipped_calibration({"calibration": applied}) == {"temperature": 2.5, "splits": splits}
