"""The GPU: what the driver says, and whether PyTorch computes on it."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.doctor.finding import Finding

_SECONDS = 20
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_GPU_EXTRA = "pip install 'tmkd-pipeline[gpu]' in a new environment."


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver says of itself.

    Attributes:
        gpus: each by name, compute capability and memory.
        version: of the driver; empty where it is not known.
        cuda: the newest CUDA that it runs, such as (12, 4); None where it is not known.
    """

    gpus: tuple[str, ...]
    version: str
    cuda: tuple[int, int] | None


def read_driver() -> Driver | None:
    """Ask `nvidia-smi`; None without a driver."""
    listed = _output("--query-gpu=name,compute_cap,memory.total,driver_version", "--format=csv,noheader")
    if listed is None:
        try:
            match = re.search(r"\b(\d{3,}(?:\.\d+)+)\b", _DRIVER_FILE.read_text())
        except OSError:
            return None
        return Driver((), match[1] if match else "", None)
    rows = [[cell.strip() for cell in line.split(",")] for line in listed.splitlines() if line.count(",") >= 3]
    cuda = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", _output() or "")
    return Driver(
        tuple(f"{name} ({capability}, {memory})" for name, capability, memory, *_ in rows),
        rows[0][3] if rows else "",
        None if cuda is None else (int(cuda[1]), int(cuda[2])),
    )


def _output(*arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["nvidia-smi", *arguments],  # noqa: S607 (its place differs between systems)
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout


def examine_devices(driver: Driver | None, asked: str = "auto") -> Iterator[Finding]:
    """Look at driver and devices; imports torch where it is installed.

    Args:
        driver: as `read_driver` gives it.
        asked: the recipe's `device`, which is a fault where it is not here.
    """
    if driver is None:
        yield Finding("NVIDIA driver", "note", "none", "no NVIDIA GPU here: training runs on the CPU, or on MPS")
    else:
        cuda = "" if driver.cuda is None else f", runs CUDA up to {driver.cuda[0]}.{driver.cuda[1]}"
        gpus = "; ".join(driver.gpus) or "no GPU listed"
        yield Finding("NVIDIA driver", "ok", f"{driver.version or 'version unknown'}{cuda}: {gpus}")
    try:
        import torch
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        means, remedy = "no training and no export here", "pip install 'tmkd-pipeline[cpu]', or [gpu]."
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == "torch"
        state, found = ("note", "not installed") if is_missing else ("fault", f"cannot be imported ({reason})")
        yield Finding("PyTorch", state, found, means, remedy)  # type: ignore[arg-type]
        return
    built = torch.version.cuda
    yield Finding("PyTorch", "ok", f"{torch.__version__}, built for {f'CUDA {built}' if built else 'the CPU'}")
    yield _cuda(driver, built, asked)
    has_mps = torch.backends.mps.is_available()
    if has_mps or asked == "mps":
        state = "ok" if has_mps else "fault"
        remedy = "" if has_mps else "Set device to auto."
        yield Finding("MPS", state, "PyTorch computes on it" if has_mps else "not here", remedy=remedy)  # type: ignore[arg-type]


def _cuda(driver: Driver | None, built: str | None, asked: str) -> Finding:
    """Whether PyTorch computes on CUDA; where there is a GPU and it does not, why."""
    import torch

    from exporters.core.process_state import no_warnings

    about, wanted = "CUDA in PyTorch", asked == "cuda"
    has_gpu = driver is not None and bool(driver.gpus)
    if built is None and not torch.version.hip:
        if not has_gpu and not wanted:
            return Finding(about, "note", "not built in", "nothing is missing where there is no GPU")
        return Finding(about, "fault", "not built in", "the GPU is not used", _GPU_EXTRA)
    if driver is not None and driver.cuda is not None and built and _major(built) > driver.cuda[0]:
        found = f"built for CUDA {built}, and the driver runs CUDA up to {driver.cuda[0]}.{driver.cuda[1]}"
        remedy = "Install a newer driver, or a PyTorch built for an older CUDA (pytorch.org, Get Started)."
        return Finding(about, "fault", found, "PyTorch cannot use the GPU", remedy)
    try:
        with no_warnings():
            if not torch.cuda.is_available():
                if not has_gpu and not wanted:
                    return Finding(about, "note", "no device", "training runs on the CPU")
                remedy = "Check that CUDA_VISIBLE_DEVICES names a GPU, and that a container is started with --gpus all."
                return Finding(about, "fault", "PyTorch finds no device", "the GPU is not used", remedy)
            ones = torch.ones(8, 8, device="cuda")
            right = bool(((ones @ ones) == 8).all().item())
            free, total = torch.cuda.mem_get_info()
    except Exception as error:  # torch's errors of drivers and kernels share no base class
        reason = str(error).splitlines()[0][:200]
        remedy = "A PyTorch that was built for this GPU's compute capability, or another driver."
        return Finding(about, "fault", f"a product of matrices fails: {reason}", "the GPU is not used", remedy)
    if not right:
        return Finding(about, "fault", "a product of matrices is wrong", "nothing from this GPU can be trusted")
    count, name = torch.cuda.device_count(), torch.cuda.get_device_name()
    several = f", and {count - 1} more" if count > 1 else ""
    return Finding(about, "ok", f"computes on {name}{several}; {free / 1e9:.1f} GB of {total / 1e9:.1f} GB free")


def _major(version: str) -> int:
    digits = version.partition(".")[0]
    return int(digits) if digits.isdigit() else 0
