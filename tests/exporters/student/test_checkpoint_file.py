"""Checkpoints as training scripts write them."""

import argparse
import datetime
import os
import pathlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporters.core.errors import UnavailableError, UsageError
from exporters.student.checkpoint_file import SUFFIXES, has_weights_suffix, read_weights_file, weights_name

State = dict[str, Tensor]


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4), head=nn.Linear(4, 3)))


PLAIN, AVERAGED = network(1).state_dict(), network(2).state_dict()


def prefixed(state: State, prefix: str) -> State:
    return OrderedDict((prefix + key, value) for key, value in state.items())


def optimizer() -> dict[str, Any]:
    net = network()
    made = torch.optim.AdamW(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    made.step()
    return made.state_dict()


def of_timm() -> dict[str, Any]:
    """What timm's `CheckpointSaver` writes."""
    arguments = argparse.Namespace(
        model="resnet18", lr=0.1, mean=None, std=None, img_size=None, output=pathlib.Path("/tmp/x"),
        device=torch.device("cpu"), opt_betas=(0.9, 0.99), resume="",
    )  # fmt: skip
    return {
        "epoch": 3,
        "arch": "resnet18",
        "state_dict": PLAIN,
        "optimizer": optimizer(),
        "version": 2,
        "args": arguments,
        "amp_scaler": {"scale": 65536.0, "growth_factor": 2.0},
        "state_dict_ema": prefixed(AVERAGED, "module."),
        "metric": np.float64(77.5),
    }


def of_torchvision() -> dict[str, Any]:
    """What torchvision's `references/classification/train.py` writes."""
    made = torch.optim.SGD(network().parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.SequentialLR(
        made,
        [
            torch.optim.lr_scheduler.LinearLR(made),
            torch.optim.lr_scheduler.MultiStepLR(made, [3, 6]),
        ],
        milestones=[2],
    )
    return {
        "model": PLAIN,
        "optimizer": optimizer(),
        "lr_scheduler": scheduler.state_dict(),
        "epoch": 3,
        "args": argparse.Namespace(model="resnet18", lr=0.1, val_crop_size=224, device="cuda"),
        "model_ema": {"n_averaged": torch.tensor(3), **prefixed(AVERAGED, "module.")},
        "scaler": torch.amp.GradScaler("cpu").state_dict(),
    }


CONTENTS = {
    "timm": (of_timm, "state_dict", "state_dict_ema"),
    "torchvision": (of_torchvision, "model", "model_ema"),
    "lightning": (
        lambda: {
            "state_dict": prefixed(PLAIN, "model."),
            "optimizer_states": [optimizer()],
            "callbacks": {"x": {"best_model_score": torch.tensor(0.5)}},
            "hyper_parameters": {"lr": 0.1},
            "ema": prefixed(AVERAGED, "_orig_mod.module."),
        },
        "state_dict",
        "ema",
    ),
    "nested": (
        lambda: {
            "model": {"weights": PLAIN, "stats": {"mean": torch.zeros(3)}},
            "swa_model": AVERAGED,
            "when": datetime.datetime(2026, 1, 1),
        },
        "model.weights",
        "swa_model",
    ),
}  # fmt: skip


def same(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("script", sorted(CONTENTS))
def test_checkpoints_of_training_scripts_are_read(script: str, old_format: bool, tmp_path: Path) -> None:
    content, plain, averaged = CONTENTS[script]
    path = tmp_path / "best.pth.tar"
    torch.save(content(), path, _use_new_zipfile_serialization=not old_format)
    file = read_weights_file(path, option="--weights-key")
    assert same(file.state, PLAIN)
    assert (file.key, file.others, file.ordered) == (plain, (averaged,), True)
    choice = file.choice("--weights-key")
    assert choice == (
        f"best.pth.tar holds 2 sets of weights; {plain} was taken. The others: {averaged}; --weights-key chooses."
    )
    other = read_weights_file(path, averaged)
    assert same(other.state, AVERAGED)
    assert "averaged over the training" in str(other.choice("weights_key"))


def test_settings_of_the_script_are_kept(tmp_path: Path) -> None:
    torch.save(of_timm(), tmp_path / "a.pth")
    settings = read_weights_file(tmp_path / "a.pth").settings
    assert (settings["model"], settings["mean"], settings["opt_betas"]) == ("resnet18", None, (0.9, 0.99))


def test_a_part_of_a_key_is_enough_where_it_is_clear(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"student": {"net": PLAIN}, "teacher": {"net": AVERAGED}}, path)
    assert same(read_weights_file(path, "teacher").state, AVERAGED)
    assert same(read_weights_file(path, "student.net").state, PLAIN)


def test_ambiguous_sets_of_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"student": PLAIN, "teacher": AVERAGED}, path)
    with pytest.raises(UsageError, match=r"holds 2 sets of weights.*student, teacher") as caught:
        read_weights_file(path, option="--weights-key")
    assert "--weights-key student" in str(caught.value.remedy)


@pytest.mark.parametrize(
    ("content", "key", "told", "remedy"),
    [
        ({"state_dict": PLAIN, "ema": AVERAGED}, "model_ema", "no weights at 'model_ema'", "state_dict, ema"),
        ({"state_dict": PLAIN}, "optimizer", "no weights at", "state_dict"),
        ({"a": {"x": PLAIN, "y": AVERAGED}}, "a", "several sets of weights at 'a'", "a.x, a.y"),
        (PLAIN, "state_dict", "no weights at", "a state dict itself: leave --weights-key out"),
    ],
)
def test_key_without_weights_is_refused(content: Any, key: str, told: str, remedy: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(UnavailableError, match=told) as caught:
        read_weights_file(tmp_path / "a.pt", key, "--weights-key")
    assert remedy in str(caught.value.remedy)


def test_averaged_weights_alone_are_taken(tmp_path: Path) -> None:
    torch.save({"model_ema": AVERAGED, "optimizer": optimizer()}, tmp_path / "a.pt")
    file = read_weights_file(tmp_path / "a.pt")
    assert same(file.state, AVERAGED) and file.choice("x") is None


class Planted:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


class Setting:
    """Of a training script's own."""


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize("place", ["beside", "in args", "in a state", "as a subclass"])
def test_code_in_a_file_is_refused_and_never_run(place: str, old_format: bool, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    planted: Any = Planted(trace)
    content = {
        "beside": {"state_dict": PLAIN, "hook": planted},
        "in args": {"state_dict": PLAIN, "args": argparse.Namespace(lr=0.1, hook=planted)},
        "in a state": {"state_dict": {**PLAIN, "hook": planted}},
        "as a subclass": {"state_dict": PLAIN, "args": Setting(), "hook": planted},
    }[place]
    path = tmp_path / "net.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(UnavailableError, match=r"objects that are no tensors \((posix|nt|tests)\.") as caught:
        read_weights_file(path)
    assert "weights_only" not in str(caught.value) and "state_dict()" in str(caught.value.remedy)
    assert not trace.exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_whole_networks_and_scripts_are_refused_by_name(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "whole.pt")
    with pytest.raises(UnavailableError, match=r"torch\.nn\.modules\.container\.Sequential"):
        read_weights_file(tmp_path / "whole.pt")
    torch.jit.script(network()).save(tmp_path / "script.pt")
    with pytest.raises(UnavailableError, match="TorchScript"):
        read_weights_file(tmp_path / "script.pt")


@pytest.mark.parametrize(
    ("name", "bare"),
    [("best.pth.tar", "best"), ("a.b.safetensors", "a.b"), ("net.CKPT", "net"), ("x.tar", "x"), ("v1.0.pt", "v1.0")],
)
def test_weights_name_drops_the_suffix(name: str, bare: str) -> None:
    assert has_weights_suffix(name) and weights_name(Path("folder") / name) == bare


def test_suffixes_are_recognised_in_any_case(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(PLAIN, tmp_path / "A.SafeTensors")
    file = read_weights_file(tmp_path / "A.SafeTensors")
    assert same(file.state, PLAIN) and not file.ordered
    assert all(has_weights_suffix(f"a{suffix.upper()}") for suffix in SUFFIXES)
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(UsageError, match="not a weights file by its name"):
        read_weights_file(tmp_path / "a.onnx")
