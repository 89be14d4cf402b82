"""The accuracy of a bundle's models on images, measured again and held against what the bundle says."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporters.bundle.documents import read_labels, read_preprocessing
from exporters.bundle.manifest import (
    LABELS,
    MODEL,
    PARITY,
    PREPROCESS,
    parse_json,
    read_listed,
    variant_of,
)
from exporters.core.errors import GateError
from exporters.core.files import open_regular
from exporters.core.progress import counted
from exporters.images.decoding import UnreadableImageError, open_rgb
from exporters.images.labelled import labelled_digest, labelled_images
from exporters.images.preprocessing import Preprocessing
from exporters.parity.intervals import paired_interval, wilson_interval
from exporters.runtimes import OnnxRuntime

_BATCH = 32
_SAME_IMAGES = 0.001  # of them may be answered otherwise by another processor; one always may


@dataclass(frozen=True)
class AccuracyReport:
    """What was measured.

    Args:
        images: how many.
        split: the split of the bundle that these are exactly the images of; None for others.
        correct: by model, how many it answered rightly.
        stated: what the bundle says of that split, else of its test, validation or proof images, as (correct, images);
            None where it says nothing.
        left_out: what was passed over among the images, as one line.
    """

    images: int
    split: str | None
    correct: dict[str, int]
    stated: tuple[int, int] | None
    left_out: str = ""

    def describe(self) -> str:
        """One line for a person."""
        which = "images" if self.split is None else f"images, exactly those of the {self.split} split"
        models = ", ".join(f"{name} {count / self.images:.4f}" for name, count in self.correct.items())
        stated = "none"
        if self.stated is not None:
            stated = f"{self.stated[0] / self.stated[1]:.4f} of {self.stated[1]:,}"
        left_out = f"; left out: {self.left_out}" if self.left_out else ""
        return f"{self.images:,} {which}; accuracy: {models}; the bundle states {stated}{left_out}"


def verify_accuracy(bundle: Path, manifest: Mapping[str, Any], data: Path) -> AccuracyReport:
    """Measure each model of a verified bundle on a folder of labelled images.

    On exactly the images of a split, `model.onnx` answers as many rightly as the bundle says, up to one image or 0.1 %.
    On other images it fails only where its accuracy is worse beyond chance: where the 95 % intervals (Wilson) of what
    was found and of what is stated do not touch. A variant fails where it loses more to `model.onnx` than its gate
    allows, beyond chance.

    Args:
        bundle: the folder.
        manifest: what `verify_bundle` gave for it.
        data: `<label>/<image>`, below it or its test or validation split (`labelled_images`).

    Raises:
        UsageError, UnavailableError: no such images, or one that cannot be decoded.
        GateError: the bundle says something else; its `report` is what was measured.
    """
    labels = read_labels(read_listed(bundle, manifest, LABELS))
    preprocessing = read_preprocessing(read_listed(bundle, manifest, PREPROCESS))
    runtimes = {name: OnnxRuntime(read_listed(bundle, manifest, name)) for name in sorted(manifest["models"])}
    hits: dict[str, list[np.ndarray]] = {name: [] for name in runtimes}
    hashes: list[tuple[bytes, str]] = []
    found_images = labelled_images(data, labels)
    batches = _batches(found_images.images, preprocessing)
    for images, truth, digests in counted(batches, "images", len(found_images.images), lambda batch: len(batch[1])):
        hashes += [(digest, labels[label]) for digest, label in zip(digests, truth, strict=True)]
        for name, runtime in runtimes.items():
            hits[name].append(runtime.predict(images).argmax(axis=1) == np.asarray(truth))
    right = {name: np.concatenate(parts) for name, parts in hits.items()}
    digest = labelled_digest(hashes)
    results = manifest.get("facts", {}).get("results", {})
    split = next((name for name, found in results.items() if found.get("sha256") == digest), None)
    said = results.get(split or "test") or results.get("validation") or results.get("proof")
    stated = (said["correct"], said["images"]) if said else None
    counts = {name: int(found.sum()) for name, found in right.items()}
    report = AccuracyReport(len(hashes), split, counts, stated, found_images.left_out)
    gates = parse_json(PARITY, read_listed(bundle, manifest, PARITY))
    try:
        _judge(report)
        for name in manifest["models"]:
            if name != MODEL:
                _judge_variant(name, right[name], right[MODEL], _allowed_drop(gates, name))
    except GateError as error:
        error.report = report
        raise
    return report


def _allowed_drop(parity: Any, name: str) -> float:
    try:
        return float(parity[variant_of(name)]["gate"]["max_accuracy_drop"])
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise GateError(f"{PARITY}: has no gate of {name}") from error


def _batches(
    paths: Sequence[tuple[Path, int]], preprocessing: Preprocessing
) -> Iterator[tuple[np.ndarray, list[int], list[bytes]]]:
    for start in range(0, len(paths), _BATCH):
        part = paths[start : start + _BATCH]
        contents = [_read(path) for path, _ in part]
        prepared = [
            preprocessing.apply(open_rgb(data, str(path))) for data, (path, _) in zip(contents, part, strict=True)
        ]
        yield np.stack(prepared), [label for _, label in part], [hashlib.sha256(data).digest() for data in contents]


def _read(path: Path) -> bytes:
    try:
        with open_regular(path) as stream:
            return stream.read()
    except OSError as error:
        raise UnreadableImageError(f"{path}: the image cannot be read: {error.strerror}") from error


def _judge(report: AccuracyReport) -> None:
    if report.stated is None:
        return
    found, (correct, images) = report.correct[MODEL], report.stated
    if report.split is not None:
        if abs(found - correct) > max(1, _SAME_IMAGES * images):
            raise GateError(
                f"{MODEL}: answers {found} of the {images} {report.split} images rightly, the bundle says {correct}"
            )
        return
    _low, high = wilson_interval(found, report.images)
    low, _high = wilson_interval(correct, images)
    if high < low:
        raise GateError(
            f"{MODEL}: accuracy {found / report.images:.4f} on these {report.images} images is below the"
            f" {correct / images:.4f} that the bundle says, beyond chance",
            remedy="These images are not of the kind that it was measured on, or labelled otherwise.",
        )


def _judge_variant(name: str, found: np.ndarray, reference: np.ndarray, allowed: float) -> None:
    lost, won = int(np.sum(reference & ~found)), int(np.sum(found & ~reference))
    if lost - won > 1 and paired_interval(lost, won, len(found))[0] > allowed:
        raise GateError(
            f"{name}: answers {lost - won} of {len(found)} images fewer rightly than {MODEL}, allowed {allowed:.4f}"
        )
