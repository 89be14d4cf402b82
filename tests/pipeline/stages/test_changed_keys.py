"""For every key of the schema: which stages run again when it changes, and when it changes to no effect.

`_CASES` has a row for each key; a new key must get one. A stage that follows only by what an earlier one writes is not
named: it waits for the files, and is reused where they are the same.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from exporters.core.files import sha256_file
from pipeline.recipe.schema.recipe import Recipe
from pipeline.runner.fingerprint import digest
from pipeline.runner.planning import needed_stages, plan, stage_inputs
from pipeline.runner.record import StageRecord
from pipeline.runner.rundir import RunDirectory
from pipeline.stages.registry import STAGES
from tests.docs.test_recipe_reference import LEAVES

BASE: dict[str, Any] = {
    "name": "base",
    "device": "cpu",
    "data": {"dataset": "folder", "root": "shapes", "image_size": 32},
    "teacher": {
        "visual": {
            "model": "cifar:resnet8", "weights": "none", "fit": {"epochs": 10, "optimizer": "sgd", "lr": 0.1},
        },
        "text": {"model": "tiny", "weights": "fit"},
    },
    "student": {"model": "cifar:resnet8"},
    "distill": {"views": {"edge": {}, "high_frequency": {}}},
    "train": {"epochs": 20, "optimizer": "sgd", "lr": 0.1},
}  # fmt: skip


class Case(NamedTuple):
    """A change: another value, the stages that run again, and what the recipe says besides, before and after."""

    value: Any
    again: str
    beside: Mapping[str, Any] = {}


IMAGES = "baseline teacher text distill bundle"
SHAPE = "baseline teacher text fusion distill validate parity bundle"
MIXED = "baseline teacher distill bundle"
TEACHER = "teacher bundle"
TEXT = "text bundle"
VIEWS = "teacher text fusion distill bundle"
STUDENT = "baseline distill bundle"
TAUGHT = "distill bundle"
WEIGHED = "fusion distill bundle"
PARITY = "parity bundle"
EXPORT = "export bundle"
FILES = "export parity bundle"

CE = {"distill.method": "ce"}
KD = {"distill.method": "kd"}
AUTO = {"distill.method": "auto"}
DKD = {"distill.base": "dkd"}
CONTRAST = {"distill.contrast.weight": 0.2}
CONFIDENCE = {"distill.weighting.by": "teacher_confidence"}
CACHE = {"distill.teacher_cache.passes": 2}
INT8 = {"export.onnx.precision": ["fp32", "int8"]}
FP16 = {"export.onnx.precision": ["fp32", "fp16"]}
ENGINES = {"export.tensorrt.when": "available"}
OPENVINO = {"export.openvino.when": "available"}
FULL = {"student.baseline": "full"}
TOWER = {"teacher.text.tower": {"model": "cifar:resnet8", "weights": "net.pth"}}
NORMALISED = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def given(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{section}.{key}": value for key, value in values.items()}


def network(section: str, again: str, unused: Mapping[str, Any]) -> dict[str, list[Case]]:
    """Rows of a network; `unused` is beside which nothing of it has an effect."""
    file, normalised = {f"{section}.weights": "net.pth"}, given(section, NORMALISED)
    rows = {
        "model": [Case("cifar:resnet14", again)],
        "arguments": [Case({"width": 2}, again)],
        "weights": [Case("other.pth", again)],
        "sha256": [Case(HASH, "", file)],
        "weights_key": [Case("state_dict_ema", again, file)],
        "mean": [Case([0.4, 0.5, 0.5], again, normalised)],
        "std": [Case([0.4, 0.5, 0.5], again, normalised)],
    }
    return {
        f"{section}.{key}": [*cases, *(Case(case.value, "", {**case.beside, **unused}) for case in cases if unused)]
        for key, cases in rows.items()
    }


def schedule(section: str, again: str, short: str) -> dict[str, list[Case]]:
    """Rows of a schedule of SGD; `short` are the stages where a much shorter schedule has the key too."""
    adamw = {f"{section}.optimizer": "adamw"}
    steps = {f"{section}.schedule.kind": "milestones", f"{section}.schedule.milestones": [5]}
    undecayed = {f"{section}.weight_decay": 0.0}
    return given(
        section,
        {
            "batch_size": [Case(32, again)],
            "optimizer": [Case("adamw", again)],
            "lr": [Case(0.2, again)],
            "momentum": [Case(0.8, again), Case(0.8, "", adamw)],
            "nesterov": [Case(True, again), Case(True, "", adamw)],
            "weight_decay": [Case(1e-3, again)],
            "decay_norms_and_biases": [Case(False, again), Case(True, ""), Case(False, "", undecayed)],
            "schedule.kind": [Case("constant", again), Case("cosine", "")],
            "schedule.milestones": [Case([6], short, steps)],
            "schedule.gamma": [Case(0.5, again, steps), Case(0.5, "")],
            "schedule.warmup": [Case(2.0, again)],
            "gradient_clip": [Case(1.0, again)],
            "ema": [Case(0.99, again)],
            "early_stop": [Case(3, short), Case(50, "")],
            "on_nan": [Case("skip_batch", again)],
            "max_skipped_batches": [Case(3, again, {f"{section}.on_nan": "skip_batch"}), Case(3, "")],
            "auto_batch": [Case(True, "")],
        },
    )


def network_schedule(section: str, again: str, short: str) -> dict[str, list[Case]]:
    """Rows of the schedule of a classifier."""
    whole = {f"{section}.batch_size": 64, f"{section}.accumulate": 4}
    return schedule(section, again, short) | given(
        section,
        {
            "preset": [Case("none", ""), Case("scratch", again)],
            "accumulate": [Case(2, again)],
            "scale_lr": [Case(True, again), Case(True, "", whole)],
            "compile": [Case(True, again)],
            "cuda_graphs": [Case(True, again, {f"{section}.compile": True})],
            "head_epochs": [Case(2, short)],
            "head_lr": [Case(2.0, again)],
            "layer_decay": [Case(0.5, again)],
            "class_weights": [Case("balanced", again)],
            "sync_batch_norm": [Case(True, again)],
            "batch_norm_momentum": [Case("network", again), Case(0.2, again), Case("auto", "")],
            "label_smoothing": [Case(0.1, again)],
        },
    )


HASH = "sha256 of net.pth"
"""Stands for the hash, which is known once the file is written."""

_CASES: dict[str, list[Case]] = {
    "name": [Case("other", EXPORT)],
    "seed": [Case(1, STUDENT)],
    "device": [Case("mps", "")],
    "data.dataset": [Case("imagenet", "data bundle", {"data.root": "photos"})],
    "data.root": [Case("moved", "data")],
    "data.labels": [Case("labels.csv", "data bundle")],
    "data.licence": [Case("CC0-1.0", "bundle")],
    "data.image_size": [Case(24, f"data {SHAPE}"), Case(24, f"data export {SHAPE}", INT8)],
    "data.resize": [Case(40, f"data {SHAPE}"), Case(32, "")],
    "data.interpolation": [Case("bicubic", SHAPE), Case("bicubic", f"export {SHAPE}", INT8)],
    "data.validation": [Case(0.2, "data bundle")],
    "data.train_images": [Case(2, "data bundle")],
    "data.test": [Case(0.3, "data bundle"), Case(0.3, "", {"data.dataset": "imagenet", "data.root": "photos"})],
    "data.split_seed": [
        Case(1, "data teacher text bundle"),
        Case(1, "data teacher text baseline distill bundle", CACHE | {"distill.teacher_cache.share": "seeds"}),
    ],
    "data.on_error": [Case("skip", "data bundle")],
    "data.on_leak": [Case("drop", "data bundle")],
    "data.workers": [Case(2, "")],
    "data.decode": [Case("gpu", IMAGES), Case("gpu", MIXED, TOWER)],
    "data.augment.crop": [Case("shift", IMAGES), Case("shift", MIXED, TOWER)],
    "data.augment.scale": [Case([0.3, 1.0], IMAGES), Case([0.3, 1.0], "", {"data.augment.crop": "shift"})],
    "data.augment.padding": [Case(2, IMAGES, {"data.augment.crop": "shift"}), Case(2, "")],
    "data.augment.flip": [Case(False, IMAGES)],
    "data.augment.jitter": [Case(0.2, IMAGES)],
    "data.augment.randaugment.operations": [Case(3, IMAGES, {"data.augment.randaugment": {}})],
    "data.augment.randaugment.magnitude": [Case(3, IMAGES, {"data.augment.randaugment": {}})],
    "data.augment.erasing": [Case(0.2, IMAGES)],
    "data.augment.mixup": [Case(0.2, MIXED)],
    "data.augment.cutmix": [Case(0.2, MIXED)],
    "data.augment.mix_probability": [Case(0.5, MIXED, {"data.augment.mixup": 0.2}), Case(0.5, "")],
    **network("teacher.visual", TEACHER, CE),
    "teacher.visual.classifier": [Case("fc", TAUGHT), Case("fc", "text distill bundle", {"teacher.text.tower": {}})],
    "teacher.visual.shard": [Case(True, WEIGHED), Case(True, "", CE)],
    "teacher.visual.image_size": [Case(48, TEACHER), Case(48, "", CE)],
    "teacher.visual.fit.epochs": [Case(12, TEACHER), Case(12, "", CE)],
    **network_schedule("teacher.visual.fit", TEACHER, TEACHER),
    "teacher.visual.fit.views": [Case(False, TEACHER), Case(True, ""), Case(True, TEACHER, KD)],
    "teacher.text.model": [Case("clip.json", TEXT), Case("clip.json", "", KD)],
    "teacher.text.weights": [Case("clip.pt", TEXT), Case("clip.pt", "", KD)],
    "teacher.text.sha256": [Case(HASH, "", {"teacher.text.weights": "net.pth"})],
    "teacher.text.prompts": [
        Case("prompts.yaml", TEXT),
        Case("prompts.yaml", "", KD),
        Case("prompts.yaml", "", {"teacher.text.weights": "texts.npz", "distill.weighting.by": "text"}),
    ],
    "teacher.text.class_names": [
        Case("names.yaml", TEXT),
        Case("names.yaml", "text distill bundle", CONTRAST | {"teacher.text.anchors": "texts.npz"}),
        Case("names.yaml", "", KD),
    ],
    "teacher.text.anchors": [Case("texts.npz", ""), Case("texts.npz", TAUGHT, CONTRAST), Case("texts.npz", "", KD)],
    **{
        key: [Case(case.value, case.again, TOWER | case.beside) for case in cases]
        for key, cases in network("teacher.text.tower", TEXT, {}).items()
    },
    "teacher.text.tower.classifier": [Case("fc", TEXT, TOWER)],
    "teacher.text.tower.image_size": [Case(48, TEXT, TOWER)],
    "teacher.text.shard": [
        Case(True, WEIGHED),
        Case(True, "", CONFIDENCE),
        Case(True, "bundle", CONFIDENCE | CONTRAST),
    ],
    "teacher.text.fit.epochs": [Case(12, TEXT), Case(12, "", CONFIDENCE)],
    **{
        key: [Case(case.value, case.again, {"teacher.text.fit.optimizer": "sgd"} | case.beside) for case in cases]
        for key, cases in schedule("teacher.text.fit", TEXT, TEXT).items()
    },
    "teacher.text.fit.label_smoothing": [Case(0.1, "")],
    "teacher.runtime": [Case("eager", WEIGHED), Case("eager", "", CE)],
    "teacher.on_weak": [Case("fail", "fusion bundle"), Case("fail", "", CE)],
    **network("student", STUDENT, {}),
    "student.classifier": [Case("fc", STUDENT)],
    "student.baseline": [
        Case("full", "baseline fusion validate bundle"),
        Case(0.5, "fusion validate bundle"),
        Case("full", "", CE),
    ],
    "distill.method": [Case("kd", "teacher fusion distill bundle"), Case("ce", "distill validate bundle")],
    "distill.base": [Case("dkd", TAUGHT), Case("dkd", "", KD)],
    "distill.auto.candidates": [Case(["kd", "tmkd on cat_kd"], "race distill bundle", AUTO), Case(["kd"], "")],
    "distill.auto.rungs": [Case(3, "race bundle", AUTO), Case(3, "")],
    "distill.auto.reduction": [Case(2, "race bundle", AUTO), Case(2, "")],
    "distill.balance": [Case("none", TAUGHT), Case("none", "", CE)],
    "distill.ce.weight": [Case(2.0, TAUGHT), Case(0.5, "")],
    "distill.views.edge.kind": [Case("flip", VIEWS, {"distill.views.own": {"kind": "edge"}})],
    "distill.views.edge.strength": [
        Case(0.5, VIEWS),
        Case(0.5, "", {"distill.views.edge.mode": "replace"}),
        Case(0.5, "", KD),
        Case(0.5, TEACHER, KD | {"teacher.visual.fit.views": True}),
        Case(0.5, WEIGHED, {"teacher.text.weights": "texts.npz", "distill.weighting.by": "text",
                            "teacher.visual.fit.views": False}),
    ],
    "distill.views.edge.operator": [Case("scharr", VIEWS), Case("scharr", "", {"distill.views.edge.strength": 0.0})],
    "distill.views.edge.mode": [Case("replace", VIEWS)],
    "distill.views.high_frequency.kind": [Case("grey", VIEWS, {"distill.views.own": {"kind": "high_frequency"}})],
    "distill.views.high_frequency.cutoff": [
        Case(0.5, VIEWS), Case(0.5, "", {"distill.views.high_frequency.strength": 0.0})
    ],
    "distill.views.high_frequency.strength": [
        Case(1.0, VIEWS), Case(1.0, "", {"distill.views.high_frequency.mode": "replace"})
    ],
    "distill.views.high_frequency.filter": [
        Case("gaussian", VIEWS), Case("gaussian", "", {"distill.views.high_frequency.strength": 0.0})
    ],
    "distill.views.high_frequency.mode": [Case("replace", VIEWS)],
    "distill.views.flip.kind": [Case("edge", VIEWS, {"distill.views.own": {"kind": "flip"}})],
    "distill.views.flip.axis": [Case("vertical", VIEWS, {"distill.views.flip": {}})],
    "distill.views.zoom.kind": [Case("edge", VIEWS, {"distill.views.own": {"kind": "zoom"}})],
    "distill.views.zoom.share": [Case(0.5, VIEWS, {"distill.views.zoom": {}})],
    "distill.views.grey.kind": [Case("edge", VIEWS, {"distill.views.own": {"kind": "grey"}})],
    "distill.views.grey.strength": [Case(0.5, VIEWS, {"distill.views.grey": {}})],
    "distill.views.blur.kind": [Case("edge", VIEWS, {"distill.views.own": {"kind": "blur"}})],
    "distill.views.blur.cutoff": [
        Case(0.3, VIEWS, {"distill.views.blur": {}}), Case(0.3, "", {"distill.views.blur.strength": 0.0})
    ],
    "distill.views.blur.strength": [Case(0.5, VIEWS, {"distill.views.blur": {}})],
    "distill.student_views": [Case(True, TAUGHT), Case(True, "", KD)],
    "distill.weighting.by": [Case("image_text", WEIGHED), Case("uniform", WEIGHED), Case("uniform", "", KD)],
    "distill.weighting.score": [Case("cosine", WEIGHED), Case("cosine", "", CONFIDENCE)],
    "distill.weighting.seen": [Case("image", TAUGHT), Case("image", "", CONFIDENCE)],
    "distill.weighting.standardise": [Case(True, WEIGHED), Case(True, "", {"distill.weighting.by": "uniform"})],
    "distill.weighting.temperature": [
        Case("auto", WEIGHED),
        Case(1.0, "", {"distill.weighting.by": "uniform"}),
        Case("auto", "", {"distill.weighting.by": "uniform"}),
    ],
    "distill.feature.weight": [Case(1.0, TAUGHT), Case(0.5, ""), Case(1.0, "", KD)],
    "distill.feature.pool": [
        Case(4, TAUGHT),
        Case(4, "", {"distill.feature.weight": 0.0}),
        Case(4, "", {"distill.base": "fitnet"}),
        Case(4, TAUGHT, {"distill.method": "sp"}),
    ],
    "distill.feature.normalise": [
        Case(False, TAUGHT),
        Case(False, "", {"distill.base": "sp"}),
        Case(False, TAUGHT, {"distill.base": "kd", "distill.feature.weight": 1.0}),
        Case(False, "", {"distill.base": "kd"}),
    ],
    "distill.feature.bank": [Case(64, TAUGHT, {"distill.base": "crd"}), Case(64, "")],
    "distill.logits.weight": [Case(1.0, TAUGHT), Case(1.0, "", {"distill.method": "cat_kd"})],
    "distill.logits.temperature": [Case(2.0, TAUGHT), Case(4.0, ""), Case(2.0, "", {"distill.logits.weight": 0.0})],
    "distill.logits.target_weight": [Case(2.0, TAUGHT, DKD), Case(2.0, "")],
    "distill.logits.non_target_weight": [Case(2.0, TAUGHT, DKD), Case(2.0, "")],
    "distill.contrast.weight": [Case(0.2, TAUGHT), Case(0.2, "", KD)],
    "distill.contrast.temperature": [Case(0.1, TAUGHT, CONTRAST), Case(0.1, "")],
    "distill.contrast.centre": [Case(False, TAUGHT, CONTRAST), Case(False, "")],
    "distill.teacher_cache.passes": [Case(2, STUDENT), Case(2, TAUGHT, CE)],
    "distill.teacher_cache.share": [Case("seeds", STUDENT, CACHE), Case("none", "", CACHE), Case("seeds", "")],
    "distill.teacher_cache.storage": [
        Case("float16", TAUGHT, CACHE),
        Case("float16", TAUGHT, {"distill.weighting.seen": "image"}),
        Case("float16", ""),
        Case("float16", "", CACHE | CE),
    ],
    "distill.teacher_cache.max_gb": [Case(5.0, "", CACHE), Case(5.0, "", {"distill.weighting.seen": "image"})],
    "distill.teacher_cache.stages": [Case(True, TAUGHT, CACHE | {"distill.base": "fitnet"}), Case(True, "", CACHE)],
    "distill.warmup": [Case(5, TAUGHT), Case(2, ""), Case(5, "", KD), Case(5, TAUGHT, {"distill.method": "dkd"})],
    "distill.on_no_gain": [
        Case("fail", "baseline validate bundle"),
        Case("fail", "validate bundle", FULL),
        Case("fall_back", "distill validate bundle", FULL),
        Case("fail", "", CE),
    ],
    "distill.reference": [Case("base", "reference validate bundle"), Case("base", "", KD)],
    # Of 20 epochs the plain student has 2, without early stop, and has no epoch for the head alone.
    **network_schedule("train", STUDENT, TAUGHT),
    "train.schedule.milestones": [
        Case([15], STUDENT, {"train.schedule.kind": "milestones", "train.schedule.milestones": [10]})
    ],
    "train.schedule.gamma": [
        Case(0.5, STUDENT, {"train.schedule.kind": "milestones", "train.schedule.milestones": [10]}), Case(0.5, "")
    ],
    "train.epochs": [Case(30, "baseline distill validate bundle")],
    "train.checkpoint.every_minutes": [Case(5.0, "")],
    "train.checkpoint.keep": [Case(3, "")],
    "train.precision": [Case("bf16", IMAGES), Case("fp32", "")],
    "validate.min_top1": [Case(0.5, "validate bundle")],
    "validate.max_drop_from_teacher": [Case(0.5, "validate bundle")],
    "validate.min_class_recall": [Case(0.5, "validate bundle")],
    "validate.max_ece": [Case(0.5, "validate bundle")],
    "validate.max_latency_ms": [Case(50.0, "bundle")],
    "validate.max_size_mb": [Case(50.0, "bundle")],
    "validate.calibrate": [Case(False, "validate bundle")],
    "validate.corruptions": [Case(True, "validate bundle")],
    "export.onnx.opset": [Case(21, EXPORT)],
    "export.onnx.precision": [Case(["fp32", "int8"], FILES)],
    "export.onnx.cam": [Case(True, FILES), Case(False, "")],
    "export.onnx.required": [Case(["int8"], PARITY, INT8)],
    "export.onnx.keep": [Case("all", PARITY, INT8), Case("all", "")],
    "export.onnx.calibration.images": [Case(64, EXPORT, INT8), Case(64, "", FP16)],
    "export.onnx.calibration.method": [Case("entropy", EXPORT, INT8), Case("entropy", "")],
    "export.onnx.calibration.percentile": [
        Case(99.0, EXPORT, INT8 | {"export.onnx.calibration.method": "percentile"}),
        Case(99.0, "", INT8),
    ],
    "export.tensorrt.when": [Case("available", FILES), Case("required", PARITY, ENGINES)],
    "export.tensorrt.precision": [Case(["fp32"], FILES, ENGINES), Case(["fp32"], "")],
    "export.tensorrt.library": [Case("tensorrt_rtx", EXPORT, ENGINES), Case("tensorrt_rtx", "")],
    **given(
        "export.tensorrt",
        {
            key: [Case(value, EXPORT, ENGINES), Case(value, "")]
            for key, value in {
                "batch.min": 2,
                "batch.opt": 8,
                "batch.max": 32,
                "workspace_mib": 64,
                "version_compatible": True,
                "hardware_compatible": True,
                "compute_capabilities": ["8.9"],
            }.items()
        },
    ),
    "export.openvino.when": [Case("available", FILES), Case("required", PARITY, OPENVINO)],
    "export.openvino.precision": [Case(["fp32"], FILES, OPENVINO), Case(["fp32"], "")],
    "parity.provider": [Case("cuda", PARITY), Case("cuda", FILES, INT8)],
    **given(
        "parity",
        {
            f"{precision}.{key}": cases
            for precision, beside in {"fp16": FP16, "int8": INT8}.items()
            for key, value in {"max_scaled_error": 0.2, "min_agreement": 0.5, "max_accuracy_drop": 0.5}.items()
            for cases in [[Case(value, FILES, beside), Case(value, "")]]
        },
    ),
    "parity.fp32.max_scaled_error": [Case(1e-3, PARITY)],
    "parity.fp32.min_agreement": [Case(0.9, PARITY)],
    "parity.fp32.max_accuracy_drop": [Case(0.5, PARITY)],
    **given(
        "track",
        {
            key: [Case(value, ""), Case(value, "", {"track.to": ["tensorboard", "mlflow", "wandb"]})]
            for key, value in {
                "project": "other", "name": "second", "group": "both", "directory": "elsewhere",
                "artifacts": ["model"], "mlflow.uri": "http://127.0.0.1:5000", "wandb.mode": "offline",
                "wandb.entity": "us",
            }.items()
        },
    ),
    "track.to": [Case(["tensorboard", "mlflow"], "")],
    "known.score": [Case("energy", "bundle")],
    "known.false_alarms": [Case(0.1, "bundle", {"known.score": "energy"}), Case(0.1, "")],
    "known.foreign": [Case("moved", "bundle", {"known.score": "energy"}), Case("moved", "")],
    "bundle.licence": [Case("CC0-1.0", EXPORT)],
    "bundle.drift": [Case(False, "bundle"), Case(True, "")],
    **given(
        "lock",
        {
            key: [Case(value, "")]
            for key, value in {
                "data": "0" * 64, "threads": 3, "device": "cpu", "processor": "an 8086", "python": "3.11.0",
                "packages": {"torch": "2.11.0"},
            }.items()
        },
    ),
}  # fmt: skip

_OWN_VIEW = {f"distill.views.{kind}.kind" for kind in ("edge", "high_frequency", "flip", "zoom", "grey", "blur")}


def test_every_key_of_the_schema_has_a_row() -> None:
    """A new key needs rows that say which stages run again when it changes, with effect and without."""
    assert {*_CASES} == {*LEAVES} - {"extends"}  # which the loader resolves


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets and files that recipes name."""
    root = tmp_path_factory.mktemp("changed keys")
    rows = ["path,label,split"]
    for place, classes in (("shapes", ("disc", "bar")), ("moved", ("disc", "bar"))):
        for split in ("train", "test"):
            for kind in classes:
                (root / place / split / kind).mkdir(parents=True)
                for number in range(6):
                    path = root / place / split / kind / f"{number}.png"
                    Image.new("RGB", (16, 16), (20 * number, 80, 0)).save(path)
                    rows.append(f"{path.relative_to(root / place).as_posix()},{kind},{split}")
    for place in ("shapes", "moved"):
        (root / place / "labels.csv").write_text("\n".join(rows[:25]))
    for name in ("net.pth", "other.pth", "clip.pt"):
        (root / name).write_text(name)
    np.savez(root / "texts.npz", embeddings=np.eye(2, dtype=np.float32), class_names=["disc", "bar"])
    (root / "clip.json").write_text(json.dumps({"embed_dim": 16}))
    (root / "prompts.yaml").write_text("views: {rgb: ['a {}.']}\n")
    (root / "names.yaml").write_text("disc: coin\nbar: beam\n")
    _imagenet(root / "photos")
    return root


def _imagenet(root: Path) -> None:
    for split in ("train", "val"):
        for name in ("n01440764", "n01443537"):
            (root / split / name).mkdir(parents=True)
            for number in range(6):
                Image.new("RGB", (16, 16), (20 * number, 80, 0)).save(root / split / name / f"{number}.JPEG")


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key; a section that is not there yet is made."""
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value


def recipe_of(changes: Mapping[str, Any]) -> Recipe:
    values = deepcopy(BASE)
    for key, value in changes.items():
        put(values, key, deepcopy(value))
    return Recipe.model_validate(values)


class FinishedRun(RunDirectory):
    """A run that has finished with a recipe, by its records alone, which are in memory."""

    def __init__(self, recipe: Recipe, path: Path) -> None:
        super().__init__(path)
        self._records: dict[str, StageRecord] = {}
        needed = needed_stages(STAGES, recipe)
        for stage in STAGES:
            if stage.name in needed:
                inputs = stage_inputs(stage, recipe, self, needed)
                self._records[stage.name] = StageRecord(stage.name, "done", digest(inputs), inputs)

    def record(self, stage: str) -> StageRecord | None:
        return self._records.get(stage)


def stages_run_again(before: Recipe, after: Recipe, place: Path) -> set[str]:
    """The stages whose own parts differ, of a run that has finished with the first recipe."""
    run = FinishedRun(before, place)
    return {step.stage for step in plan(STAGES, after, run) if step.action == "run"}


def test_unchanged_recipe_runs_nothing_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for beside in ({}, CE, KD, AUTO, INT8 | ENGINES, TOWER | CONTRAST | CACHE):
        run = FinishedRun(recipe_of(beside), tmp_path)
        assert {step.action for step in plan(STAGES, recipe_of(beside), run)} <= {"reuse", "skip"}


@pytest.mark.parametrize("key", _CASES)
def test_exactly_these_stages_run_again(
    key: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for number, (value, again, beside) in enumerate(_CASES[key]):
        changed = "distill.views.own.kind" if key in _OWN_VIEW else key
        new = sha256_file(folder / "net.pth") if value == HASH else value
        before, after = recipe_of(beside), recipe_of({**beside, changed: new})
        found = stages_run_again(before, after, tmp_path / str(number))
        assert found == set(again.split()), f"{key}: {value} beside {dict(beside)}"


@pytest.mark.parametrize(
    ("file", "key", "same", "other"),
    [
        ("prompts.yaml", "prompts", "# ours\nviews:\n  rgb:\n    - 'a {}.'\n", "views: {rgb: ['the {}.']}\n"),
        ("names.yaml", "class_names", "# ours\ndisc:  coin\n\nbar: beam\n", "disc: plate\nbar: beam\n"),
        ("clip.json", "model", '{\n  "embed_dim":   16\n}\n', '{"embed_dim": 8}'),
    ],
)
def test_text_file_counts_by_what_it_says(
    file: str, key: str, same: str, other: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    recipe = recipe_of({f"teacher.text.{key}": file})
    run, needed = RunDirectory(tmp_path), needed_stages(STAGES, recipe)
    (text,) = (stage for stage in STAGES if stage.name == "text")
    before = stage_inputs(text, recipe, run, needed)
    written = Path(file).read_text()
    try:
        Path(file).write_text(same)
        assert stage_inputs(text, recipe, run, needed) == before
        Path(file).write_text(other)
        assert stage_inputs(text, recipe, run, needed) != before
        Path(file).write_text("{ broken")
        assert stage_inputs(text, recipe, run, needed) != before
    finally:
        Path(file).write_text(written)
