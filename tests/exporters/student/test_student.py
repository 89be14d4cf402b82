import json
from pathlib import Path

import pytest
import torch

from exporters.core.errors import UnavailableError, UsageError
from exporters.core.files import sha256_file
from exporters.images.preprocessing import Preprocessing
from exporters.student.architectures import Architecture
from exporters.student.student import check_labels, load_student, save_student
from tests.exporters.conftest import LABELS, make_student

RESNET8 = Architecture("resnet8", "cifar")


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_saved_student_loads_unchanged(tmp_path: Path) -> None:
    first = make_student(tmp_path, RESNET8, 32)
    second = load_student(tmp_path / "student.json")
    assert second.labels == LABELS
    assert second.name == "finches"
    assert second.architecture == RESNET8
    assert second.preprocessing == first.preprocessing
    assert second.weights_sha256 == sha256_file(tmp_path / "student.safetensors")
    assert second.parameters == sum(value.numel() for value in first.module.parameters())
    assert not any(part.training for part in second.module.modules())
    for key, value in first.module.state_dict().items():
        assert torch.equal(value, second.module.state_dict()[key])


def test_same_weights_give_same_bytes_whatever_the_memory_layout(tmp_path: Path) -> None:
    student = make_student(tmp_path / "a", RESNET8, 32)
    module = student.module.to(memory_format=torch.channels_last)
    save_student(module, RESNET8, LABELS, student.preprocessing, tmp_path / "b", name="finches")
    for name in ("student.safetensors", "student.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_modules_with_versioned_state_load_unchanged(tmp_path: Path) -> None:
    student = make_student(tmp_path, Architecture("mnasnet0_5", "torchvision"), 32)
    again = load_student(tmp_path)
    assert again.parameters == student.parameters
    assert all((value == again.module.state_dict()[key]).all() for key, value in student.module.state_dict().items())


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    student = make_student(tmp_path, RESNET8, 32)
    name = next(name for name in student.module.state_dict() if name.endswith("running_mean"))
    student.module.state_dict()[name][2] = torch.inf
    save_student(student.module, RESNET8, LABELS, student.preprocessing, tmp_path)
    with pytest.raises(
        UnavailableError, match=rf"student\.safetensors: holds values that are NaN or infinite: {name}\n"
    ):
        load_student(tmp_path)


def test_changed_weights_are_found_before_loading(tmp_path: Path) -> None:
    make_student(tmp_path, RESNET8, 32)
    path = tmp_path / "student.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnavailableError, match=r"student\.safetensors.*sha256"):
        load_student(tmp_path)
    path.unlink()
    with pytest.raises(UnavailableError, match="missing"):
        load_student(tmp_path)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = make_student(tmp_path, RESNET8, 32) and tmp_path / "student.json"
    edit(path, architecture=Architecture("resnet14", "cifar").to_json())
    with pytest.raises(UnavailableError, match=r"missing layer1\.1\.conv1\.weight.* and \d+ more"):
        load_student(path)
    edit(path, architecture=RESNET8.to_json(), labels=LABELS[:3])
    with pytest.raises(UnavailableError, match=r"linear\.weight has shape \[7, 64\], not \[3, 64\]"):
        load_student(path)
    edit(path, architecture=Architecture("squeezenet1_1", "torchvision").to_json())
    with pytest.raises(UnavailableError, match="missing"):
        load_student(path)


def test_invalid_descriptions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no student here"):
        load_student(tmp_path)
    path = make_student(tmp_path, RESNET8, 32) and tmp_path / "student.json"
    good = path.read_text()
    for text, reason in [("{", "not a student description"), ("[]", "format"), ("\xff", "not a student")]:
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(UnavailableError, match=reason):
            load_student(path)
    for changes in ({"weights": None}, {"labels": ["a"]}, {"preprocessing": {}}, {"architecture": {}}):
        path.write_text(good)
        edit(path, **changes)
        with pytest.raises(UnavailableError, match="malformed"):
            load_student(path)


def test_weights_not_in_safetensors_are_refused(tmp_path: Path) -> None:
    path = make_student(tmp_path, RESNET8, 32) and tmp_path / "student.json"
    (tmp_path / "student.safetensors").write_bytes(b"\x80\x04pickle")
    edit(path, weights={"file": "x", "sha256": sha256_file(tmp_path / "student.safetensors")})
    with pytest.raises(UnavailableError, match="not a safetensors file"):
        load_student(path)


@pytest.mark.parametrize("labels", [["a"], ["a", "a"], ["a", ""], ["a", "b\nc"], ["a", 3]])
def test_invalid_labels_are_refused(labels: list[str]) -> None:
    with pytest.raises(UsageError, match="labels"):
        check_labels(labels)
    with pytest.raises(UsageError):
        Preprocessing(0, 0, (0, 0, 0), (1, 1, 1))
