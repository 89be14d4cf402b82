"""`diff --json`: everything that was measured, as plain JSON values. Shares are in [0, 1], not per cent."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from exporters.parity.intervals import wilson_interval
from pipeline.data.path_table import printable
from pipeline.diff.answers import Answers
from pipeline.diff.bundles import Bundle
from pipeline.diff.gates import Verdict
from pipeline.diff.measure import Confidence, Measured
from pipeline.diff.pairs import LEVEL, ClassPair, Pair

FORMAT = "tmkd-diff/1"


def to_json(measured: Measured, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The whole report; docs/diff.md explains it."""
    overall, images = measured.overall, measured.overall.images
    low, high = wilson_interval(measured.agreement, images)
    return {
        "format": FORMAT,
        "passed": all(verdict.passed for verdict in verdicts),
        "gates": [verdict.to_json() for verdict in verdicts],
        "data": {
            "folder": printable(str(measured.folder)),
            "images": len(measured.asked.images),
            "compared": images,
            "unreadable": [printable(message) for message in measured.asked.unreadable],
            "left_out": measured.left_out,
        },
        "labels": _labels(measured),
        "old": _bundle(measured.old, measured.asked.old, measured.old_confidence),
        "new": _bundle(measured.new, measured.asked.new, measured.new_confidence),
        "accuracy": {"old": _share(overall.old, images), "new": _share(overall.new, images), **_paired(overall)},
        "agreement": {"images": measured.agreement, "share": measured.agreement / images, "interval": [low, high]},
        "latency": _latency(measured),
        "size": {
            "old": measured.old.bytes,
            "new": measured.new.bytes,
            "ratio": measured.new.bytes / measured.old.bytes,
        },
        "level": LEVEL,
        "classes": [_class(measured, each) for each in measured.classes],
        "changed": {
            "right_to_wrong": list(_images(measured, measured.lost)),
            "wrong_to_right": list(_images(measured, measured.gained)),
        },
    }


def _labels(measured: Measured) -> dict[str, Any]:
    labels = measured.labels
    return {
        "common": int(labels.common.sum()),
        "renamed": [{"old": old, "new": new} for old, new in labels.renamed],
        "removed": list(labels.removed),
        "added": list(labels.added),
        "removed_images": {"images": measured.removed.images, "correct": measured.removed.correct},
        "added_images": {"images": measured.added.images, "correct": measured.added.correct},
        "moved": [
            {
                "old": each.old, "new": each.new, "images": each.images, "answers": each.answers,
                "renamed": each.renamed,
            }
            for each in measured.moved
        ],
    }  # fmt: skip


def _bundle(bundle: Bundle, answers: Answers, confidence: Confidence | None) -> dict[str, Any]:
    return {
        "bundle": printable(str(bundle.folder)),
        "name": bundle.name,
        "version": bundle.version,
        "architecture": bundle.architecture,
        "precision": bundle.precision,
        "model": bundle.file,
        "parameters": bundle.parameters,
        "bytes": bundle.bytes,
        "bundle_bytes": bundle.bundle_bytes,
        "labels": len(bundle.student.labels),
        "image_size": bundle.student.preprocessing.size,
        "nll": None if confidence is None else confidence.nll,
        "ece": None if confidence is None else confidence.bins.calibration_error,
        "without_answer": int((answers.classes < 0).sum()),
    }


def _share(correct: int, images: int) -> dict[str, Any]:
    share = correct / images if images else None
    return {"correct": correct, "share": share, "interval": list(wilson_interval(correct, images))}


def _paired(pair: Pair) -> dict[str, Any]:
    return {
        "difference": pair.difference, "interval": list(pair.interval), "gained": pair.gained, "lost": pair.lost,
        "p": pair.p,
    }  # fmt: skip


def _latency(measured: Measured) -> dict[str, Any] | None:
    speed = measured.speed
    if speed is None:
        return None
    ratio = speed.times_as_long
    return {
        "provider": measured.new.provider,
        "threads": speed.threads,
        "batch": 1,
        "old": dict(speed.old),
        "new": dict(speed.new),
        "times_as_long": {"ratio": ratio.ratio, "low": ratio.low, "high": ratio.high},
    }


def _class(measured: Measured, each: ClassPair) -> dict[str, Any]:
    recall, images = each.recall, each.recall.images
    before, after = each.precision
    return {
        "class": measured.labels.classes[each.place],
        "images": images,
        "recall": {"old": _share(recall.old, images), "new": _share(recall.new, images), **_paired(recall)},
        "p_corrected": each.p,
        "precision": {"old": before, "new": after},
        "answers": {"old": each.answers_old, "new": each.answers_new},
    }


def _images(measured: Measured, rows: Iterable[int]) -> Iterable[dict[str, Any]]:
    asked = measured.asked
    for row in rows:
        yield {
            "image": printable(str(asked.images[row])),
            "class": measured.labels.classes[asked.truth[row]],
            **{
                name: {"label": answer_name(measured, answers, row), "probability": _finite(answers.confidence[row])}
                for name, answers in (("old", asked.old), ("new", asked.new))
            },
        }


def answer_name(measured: Measured, answers: Answers, row: int) -> str | None:
    """The class that was answered to an image; None where a logit was not finite."""
    place = int(answers.classes[row])
    return None if place < 0 else measured.labels.classes[place]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
