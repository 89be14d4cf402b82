"""What is said of driver and PyTorch. Drivers are played by a program called `nvidia-smi`."""

from pathlib import Path

import pytest
import torch

from pipeline.doctor import devices
from pipeline.doctor.devices import Driver, examine_devices, read_driver
from pipeline.doctor.finding import Finding

OLD = Driver(("NVIDIA A10 (8.6, 23028 MiB)",), "470.82", (11, 4))


def by_name(driver: Driver | None, asked: str = "auto") -> dict[str, Finding]:
    return {each.about: each for each in examine_devices(driver, asked)}


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        'if [ -n "$1" ]; then echo "NVIDIA H200, 9.0, 143771 MiB, 570.86.15"\n'
        'else echo "| NVIDIA-SMI 570.86  Driver Version: 570.86  CUDA Version: 12.8  |"; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return program


def test_driver_is_asked_for_gpus_version_and_cuda(smi: Path) -> None:
    assert read_driver() == Driver(("NVIDIA H200 (9.0, 143771 MiB)",), "570.86.15", (12, 8))


def test_driver_without_its_program_is_known_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(devices, "_DRIVER_FILE", tmp_path / "version")
    assert read_driver() is None
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar 5\n")
    assert read_driver() == Driver((), "550.54.15", None)


def test_machine_without_a_gpu_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = by_name(None)
    assert {each.state for each in found.values()} <= {"ok", "note"}
    assert found["NVIDIA driver"].state == "note" and torch.__version__ in found["PyTorch"].found


def test_device_that_a_recipe_asks_for_and_that_is_not_here_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert by_name(None, "cuda")["CUDA in PyTorch"].state == "fault"
    assert by_name(None, "mps")["MPS"].state == "fault"


def test_driver_too_old_for_the_cuda_of_pytorch_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    finding = by_name(OLD)["CUDA in PyTorch"]
    assert finding.state == "fault" and "CUDA 13.2" in finding.found and "11.4" in finding.found and finding.remedy


def test_pytorch_for_the_cpu_beside_a_gpu_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    assert by_name(OLD)["CUDA in PyTorch"].state == "fault"
    assert by_name(None)["CUDA in PyTorch"].state == "note"


def test_gpu_that_fails_at_its_first_product_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(torch.version, "cuda", "11.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", fails)
    finding = by_name(OLD)["CUDA in PyTorch"]
    assert finding.state == "fault" and "no kernel image" in finding.found and "more" not in finding.found
