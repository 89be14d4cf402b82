"""Export one checkpoint and prove what was made, without the rest of a pipeline."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exporters.checkpoint import Checkpoint
from exporters.errors import GateError, UnavailableError
from exporters.files import write_json
from exporters.images import open_rgb
from exporters.labelled import folders_of, image_paths
from exporters.licences import check_licence
from exporters.parity import ParityGate, ParityMeter, judge, run_parity
from exporters.runtimes import Runtime
from exporters.student import Student

MODEL, AUDIT, PREPROCESS, LABELS, PARITY = (
    "model.onnx", "audit.json", "preprocess.json", "labels.json", "parity.json",
)  # fmt: skip
GATE = ParityGate(1e-4, 0.999, 0.001)
"""As a recipe's `parity.fp32` by default."""

_AGREEMENT = ParityGate(None, 0.99, 0.01)  # where pixels may already differ by a rounding
_REJECTED = "rejected"
_BATCH = 32
_PART = 64
_GENERATED = 64


@dataclass(frozen=True)
class ImageFolder:
    """Images to prove an export on: files below a folder, or, where there is none, images that are drawn.

    Args:
        folder: searched to any depth; a first folder that is called as a label gives the label of what is inside.
        labels: the student's.

    Raises:
        UnavailableError: no images there.
    """

    folder: Path | None
    labels: list[str]

    def __post_init__(self) -> None:
        if self.folder is not None and not self._paths():
            raise UnavailableError(f"{self.folder}: no images here", remedy="Give a folder of images or of classes.")

    def _paths(self) -> list[Path]:
        assert self.folder is not None
        return image_paths(self.folder)

    def __iter__(self) -> Iterator[tuple[str, Image.Image, int | None]]:
        """(name, RGB image, label) one by one; all labels are None unless each image has one."""
        if self.folder is None:
            for index in range(_GENERATED):
                yield f"generated {index}", _drawn(index), None
            return
        place_of = folders_of(self.labels)
        names = [path.relative_to(self.folder) for path in self._paths()]
        labels = [place_of(name.parts[0]) if len(name.parts) > 1 else None for name in names]
        labelled = None not in labels
        for name, label in zip(names, labels, strict=True):
            yield name.as_posix(), open_rgb(self.folder / name), label if labelled else None


def _drawn(index: int) -> Image.Image:
    """Smooth patches of colour under noise, each of another size."""
    random = np.random.default_rng(index)
    width, height = (int(side) for side in random.integers(96, 400, 2))
    patches = Image.fromarray(random.integers(0, 256, (5, 5, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    noise = random.integers(-20, 21, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(patches, np.int16) + noise, 0, 255).astype(np.uint8))


def export_checkpoint(
    checkpoint: Checkpoint,
    out: Path,
    *,
    opset: int = 20,
    licence: str | None = None,
    probabilities: bool = False,
    any_size: bool = False,
    data: Path | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> dict[str, Any]:
    """Write `model.onnx`, `audit.json`, `preprocess.json`, `labels.json` and `parity.json` into `out`.

    Files of these names from an earlier export are removed first; nothing takes a final name before all has passed.

    Args:
        checkpoint: what is exported.
        out: a folder, made where it is missing; other files in it are left alone.
        opset, licence, probabilities, any_size: as `exporters.onnx.export.export_onnx` takes them.
        data: images to prove it on, preferably what the classifier is for; None: images that are drawn, which proves
            less, since logits on noise are of another scale and hardly ever near a tie.
        say: told each result as one line.

    Returns:
        What `parity.json` holds.

    Raises:
        GateError: the file is not the student; `rejected/parity.json` tells how far it is from it.
        UsageError, UnavailableError: as `export_onnx`; a licence that SPDX does not know; no images.
    """
    student = checkpoint.student
    licence = None if licence is None else check_licence(licence)
    images = ImageFolder(data, student.labels)
    for note in checkpoint.notes:
        say(f"note: {note}")
    with _staged(out) as folder:
        from exporters.audit import audit_export
        from exporters.onnx.export import export_onnx

        exported = export_onnx(
            student, folder / MODEL, opset, licence=licence, probabilities=probabilities, any_size=any_size
        )
        content = exported.path.read_bytes()
        initializers = audit_export(content, student)
        say(
            f"{MODEL}: {exported.size / 1e6:.2f} MB, opset {opset}, IR {exported.ir_version};"
            f" all {len(initializers)} tensors are the student's own"
        )
        write_json(folder / AUDIT, {"initializers": initializers, "operators": exported.operators})
        write_json(folder / PREPROCESS, student.preprocessing.to_json())
        write_json(folder / LABELS, student.labels)
        report, failures = prove(content, student, images, any_size=any_size, say=say)
        if failures:
            write_json(out / _REJECTED / PARITY, report)
            raise GateError(
                f"{MODEL} is not the student: {'; '.join(failures)}",
                remedy=f"{out / _REJECTED / PARITY} names the worst images and the bounds that would have passed.",
            )
        write_json(folder / PARITY, report)
    return report


def prove(
    content: bytes, student: Student, images: ImageFolder, *, any_size: bool, say: Callable[[str], None]
) -> tuple[dict[str, Any], list[str]]:
    """Compare an exported file with the student: (what `parity.json` holds, what the gates have against it)."""
    from exporters.runtimes import OnnxRuntime, TorchRuntime

    reference = TorchRuntime(student)
    source = "generated" if images.folder is None else "folder"
    resized: dict[str, Any] = {}
    failures: list[str] = []
    core = content
    if any_size:
        from exporters.onnx.resizing import resize_parity, without_resize

        core = without_resize(content, student.preprocessing)
        pixels = resize_parity(content, student.preprocessing, (image for _, image, _ in images))
        whole, against = _from_any_size(reference, OnnxRuntime(content), student, images)
        failures += against
        if not pixels.passed:
            failures.append(f"resized pixels differ by {pixels.max_difference} of 255, allowed {pixels.bound}")
        say(
            f"resizing: {pixels.images} images, largest difference from Pillow {pixels.max_difference} of 255,"
            f" mean {pixels.mean_difference:.2g}"
        )
        resized = {"resize": pixels.to_json(), "any_size": whole}
    report = run_parity(reference, OnnxRuntime(core), _batches(student, images), GATE, part=_PART)
    result = report.whole
    drop = "" if result.accuracy_drop is None else f", accuracy drop {100 * result.accuracy_drop:+.3f} points"
    error = "not finite" if result.max_scaled_error is None else f"{result.max_scaled_error:.2e}"
    say(
        f"parity on {result.images:,} images: top-1 agreement {100 * result.top1_agreement:.3f} %{drop},"
        f" largest error {error} of the logits' scale"
    )
    if images.folder is None:
        say("these images were drawn, which proves less than images of your own: give some with --data")
    return {"fp32": {"source": source, **report.to_json()}, **resized}, [*report.failures, *failures]


def _batches(student: Student, images: ImageFolder) -> Iterator[tuple[np.ndarray, np.ndarray | None, list[str]]]:
    waiting: list[tuple[str, np.ndarray, int | None]] = []

    def batch() -> tuple[np.ndarray, np.ndarray | None, list[str]]:
        labels = None if waiting[0][2] is None else np.array([label for _, _, label in waiting])
        return np.stack([pixels for _, pixels, _ in waiting]), labels, [name for name, _, _ in waiting]

    for name, image, label in images:
        waiting.append((name, student.preprocessing.apply(image), label))
        if len(waiting) == _BATCH:
            yield batch()
            waiting.clear()
    if waiting:
        yield batch()


def _from_any_size(
    reference: Runtime, candidate: Runtime, student: Student, images: ImageFolder
) -> tuple[dict[str, Any], list[str]]:
    """The file on images as they are, against the student on Pillow's pixels; judged by its answers alone."""
    meter = ParityMeter()
    for name, image, label in images:
        labels = None if label is None else np.array([label])
        expected = reference.predict(student.preprocessing.apply(image)[None])
        meter.add(expected, candidate.predict(np.asarray(image)[None]), labels, [name])
    result = meter.result()
    failures = [f"images of any size: {failure}" for failure in judge(result, _AGREEMENT)]
    return result.to_json(), failures


@contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """A temporary folder inside `out`; its files take their names there once the block ends well."""
    out.mkdir(parents=True, exist_ok=True)
    for name in (MODEL, AUDIT, PREPROCESS, LABELS, PARITY):
        (out / name).unlink(missing_ok=True)
    (out / _REJECTED / PARITY).unlink(missing_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".export-", dir=out))
    try:
        yield temporary
        for path in sorted(temporary.iterdir()):
            path.replace(out / path.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
