"""`export` from Python: weights files, networks and run directories."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from exporters.core.files import read_json  # noqa: E402
from exporters.parity import DEFAULT_GATES, ParityGate  # noqa: E402
from exporters.student.architectures import Architecture, build  # noqa: E402
from pipeline import Student, export, verify  # noqa: E402
from pipeline.errors import GateError, UnavailableError, UsageError  # noqa: E402
from tests.pipeline.conftest import Outcome, Run, run_command  # noqa: E402

LOOKS = {"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}


def network(seed: int = 0) -> "torch.nn.Module":
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(Architecture("resnet8", "cifar"), 3)


class Counting(torch.nn.Linear):
    """A layer that keeps more than tensors."""

    def __init__(self) -> None:
        super().__init__(2, 2)

    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 3}


def test_network_and_its_weights_file_give_the_same_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ["bar", "disc", "square"]
    torch.save(network().state_dict(), tmp_path / "mine.pth")
    module = network().train()
    exported = export(
        module, tmp_path / "a", model="resnet8", labels=labels, name="mine", bundle=True, quiet=True, **LOOKS
    )
    assert capsys.readouterr() == ("", "") and module.training
    outcome = run_command(
        "export", tmp_path / "mine.pth", "--out", tmp_path / "b", "--model", "resnet8", "--bundle", "--name", "mine",
        "--labels", write(tmp_path / "labels.txt", "\n".join(labels)), "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2",
    )  # fmt: skip
    assert outcome.code == 0, outcome.out + outcome.err
    assert (tmp_path / "a" / "model.onnx").read_bytes() == (tmp_path / "b" / "model.onnx").read_bytes()
    assert exported.files == ["model.onnx"] and exported.reports == read_json(tmp_path / "a" / "parity.json")
    assert "model.onnx" in repr(exported) and "<td>shipped</td>" in exported._repr_html_()
    assert exported.bundle is not None and verify(exported.bundle, quiet=True).files > 10
    assert Student.load(exported.bundle).labels == labels


def test_run_directory_is_exported(finished: tuple[Run, Outcome], tmp_path: Path) -> None:
    made, _ = finished
    exported = export(
        made.directory, tmp_path / "out", data=made.data / "test", precision="fp16", keep="all", quiet=True
    )
    assert exported.files == ["model.onnx", "model.fp16.onnx"] and exported.bundle is None
    assert exported.reports["fp16"]["whole"]["images"] == 24


def test_mistakes_name_arguments_of_python(tmp_path: Path) -> None:
    cases = [
        ((tmp_path / "nope.pth",), {}, UnavailableError, "checkpoint: .*nope.pth does not exist"),
        ((np.zeros(3),), {}, UsageError, "checkpoint: expected a path or a network of PyTorch, got ndarray"),
        ((network(),), {}, UsageError, "model: weights alone do not say of which network"),
        ((Counting(),), {"model": "resnet8"}, UsageError, "_extra_state in its state_dict is no tensor, but dict"),
        (
            (network(),),
            {"model": "resnet8", "precision": ["int8"]},
            UsageError,
            "precision int8 .* calibration is miss",
        ),
        ((network(),), {"model": "resnet8", "data": tmp_path / "no"}, UnavailableError, r"^data: .*no does not exist"),
        ((network(),), {"model": "resnet8", "labels": ["a", "b"], **LOOKS}, UsageError, "2 labels"),
    ]
    for arguments, options, kind, message in cases:
        with pytest.raises(kind, match=message) as refused:
            export(*arguments, tmp_path / "out", quiet=True, **options)  # type: ignore[arg-type]
        assert "--" not in str(refused.value).replace("--set", "")
    assert not (tmp_path / "out").exists()


def test_failed_proof_carries_the_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = {**DEFAULT_GATES, "fp32": ParityGate(0.0, 1.0, 0.0)}
    monkeypatch.setattr("exporters.command.task.DEFAULT_GATES", strict)
    with pytest.raises(GateError) as failed:
        export(network(), tmp_path / "out", model="resnet8", quiet=True, **LOOKS)
    assert failed.value.report["fp32"]["passed"] is False
    assert failed.value.report == read_json(tmp_path / "out" / "rejected" / "parity.json")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
