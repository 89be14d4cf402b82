"""Known keys, descriptions and nearest keys."""

import pytest

from pipeline.data.registry import dataset_names
from pipeline.recipe.reading.keys import all_paths, choices, expected, known_keys, nearest, nearest_value
from pipeline.settings import any_of
from pipeline.yaml_document import dotted


def path(text: str) -> tuple[str, ...]:
    return tuple(text.split("."))


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("epochs", ["train.epochs"]),
        ("train.epochz", ["train.epochs"]),
        ("train.milestones", ["train.schedule.milestones"]),
        ("teacher.visual.fit.milestones", ["teacher.visual.fit.schedule.milestones"]),
        ("data.augment.cropp", ["data.augment.crop"]),
        ("opset", ["export.onnx.opset"]),
        ("distill.views.edge.strenght", ["distill.views.edge.strength"]),
        ("distill.views.contour.strenght", ["distill.views.contour.strength"]),
        ("distill.temperature", [f"distill.{part}.temperature" for part in ("weighting", "logits", "contrast")]),
        ("train.learning_rate", ["train.lr"]),
        ("train.batch", ["train.batch_size"]),
        ("data.path", ["data.root"]),
        ("data.augment.colour", ["data.augment.jitter"]),
        ("data.augment.color", ["data.augment.jitter"]),
        ("data.augment.cutout", ["data.augment.erasing"]),
        ("data.test_fraction", ["data.test"]),
        ("data.val_split", ["data.validation"]),
        ("distill.teacher_cache.epochs", ["distill.teacher_cache.passes"]),
        ("distill.teacher_cache.fp16", ["distill.teacher_cache.storage"]),
        ("train.gradient_accumulation_steps", ["train.accumulate"]),
        ("train.fp16", ["train.precision"]),
        ("train.max_epochs", ["train.epochs"]),
        ("teacher.visual.fit.ema_decay", ["teacher.visual.fit.ema"]),
        ("zzzzzz", []),
    ],
)
def test_nearest_key_is_suggested(slip: str, meant: list[str]) -> None:
    assert nearest(path(slip)) == meant


@pytest.mark.parametrize(
    ("key", "slip", "meant"),
    [
        ("teacher.runtime", "onnx", ["onnxruntime"]),
        ("teacher.runtime", "TRT", ["tensorrt"]),
        ("teacher.runtime", "comp", ["compile"]),
        ("teacher.runtime", "t", []),  # torch or tensorrt
        ("teacher.runtime", "cuda", []),
        ("distill.teacher_cache.storage", "fp16", ["float16"]),
        ("distill.teacher_cache.share", "seed", ["seeds"]),
        ("train.precision", "float16", ["fp16"]),
        ("train.precision", "half", ["fp16"]),
        ("device", "gpu", ["cuda"]),
        ("train.precision", "bf16-mixed", ["bf16"]),
        ("train.optimizer", "adam", ["adamw"]),
    ],
)
def test_nearest_value_is_suggested(key: str, slip: str, meant: list[str]) -> None:
    assert nearest_value(slip, choices(path(key))) == meant


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("train.epochs", "an integer ≥ 1 and ≤ 100000"),
        ("train.gradient_clip", "a number > 0 or null"),
        ("data.on_error", "fail or skip"),
        ("data.workers", "an integer ≥ 0 and ≤ 256 or auto"),
        ("data.dataset", any_of(dataset_names())),
        ("data.augment.flip", "true or false"),
        ("data.augment.scale", "a list of 2 values, each a number > 0 and ≤ 1"),
        ("train.schedule.milestones", "a list, each an integer ≥ 1"),
        ("distill.views.edge.kind", "edge, high_frequency, flip, zoom, grey or blur"),
        ("distill.views.edge.strength", "a number ≥ 0 and ≤ 4"),
        ("distill.views.grey.strength", "a number ≥ 0 and ≤ 1"),
        ("distill.views.edge.cutoff", "a number ≥ 0 and ≤ 1"),  # of another kind, which it may be
        ("distill.views.anything.kind", "edge, high_frequency, flip, zoom, grey or blur"),
        ("student", "a section with keys such as model, arguments or weights"),
        ("student.arguments", "a section of keys"),
        ("bundle.licence", "a text or null"),
    ],
)
def test_expected_values_are_described(key: str, words: str) -> None:
    assert expected(path(key)) == words


def test_every_key_is_described_and_is_the_nearest_to_its_misspelling() -> None:
    assert len(all_paths()) > 80
    for found in all_paths():
        assert expected(found)
        assert found[-1] in known_keys(found[:-1]) or found[:-1] == ("distill", "views")
        assert nearest((*found[:-1], f"{found[-1]}x"))[0] == dotted(found) or found[:-1] == ("distill", "views")
