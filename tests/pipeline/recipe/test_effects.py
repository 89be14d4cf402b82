"""Which keys of a recipe have no effect under its method, and how that is said."""

import pytest

from pipeline.recipe import load_recipe
from pipeline.recipe.effects import keys_without_effect, no_effect_note
from pipeline.recipe.in_effect import deciding_key, rules
from pipeline.recipe.reading.keys import all_paths
from pipeline.recipe.reading.overrides import parse_override
from pipeline.recipe.schema.recipe import Recipe
from pipeline.yaml_document import dotted
from tests.pipeline.conftest import run_command
from tests.pipeline.recipe.reading.conftest import Write, files

__all__ = ["files"]


def without_effect(*overrides: str) -> list[str]:
    """Of a recipe that ships, without its gate on the teacher, changed by these."""
    recipe = load_recipe("quickstart", ["validate.max_drop_from_teacher=null", *overrides]).recipe
    return keys_without_effect(recipe, [parse_override(text).path for text in overrides])


@pytest.mark.parametrize(
    ("method", "key", "value"),
    [
        ("ce", "teacher.visual.model", "resnet34"),
        ("kd", "teacher.text.prompts", "generic"),
        ("kd", "distill.base", "dkd"),
        ("tmkd", "distill.auto.rungs", "3"),
        ("ce", "distill.balance", "auto"),
        ("kd", "distill.views.edge.strength", "0.5"),
        ("cat_kd", "distill.student_views", "true"),
        ("dkd", "distill.weighting.by", "teacher_confidence"),
        ("kd", "distill.feature.weight", "1"),
        ("kd", "distill.feature.bank", "64"),
        ("cat_kd", "distill.feature.bank", "64"),
        ("cat_kd", "distill.logits.temperature", "2"),
        ("kd", "distill.logits.target_weight", "2"),
        ("kd", "distill.contrast.weight", "0.2"),
        ("ce", "distill.teacher_cache.storage", "float16"),
        ("tmkd", "train.schedule.gamma", "0.2"),
        ("tmkd", "data.augment.mix_probability", "0.5"),
        ("tmkd", "export.onnx.calibration.images", "64"),
        ("tmkd", "teacher.text.fit.label_smoothing", "0.1"),
        ("kd", "distill.teacher_cache.stages", "true"),
        ("kd", "distill.warmup", "4"),
        ("ce", "distill.on_no_gain", "fail"),
        ("kd", "distill.reference", "base"),
        ("ce", "student.baseline", "full"),
    ],
)
def test_key_of_another_method_is_named(method: str, key: str, value: str) -> None:
    (found,) = without_effect(f"distill.method={method}", f"{key}={value}")
    assert key == found or key.startswith(f"{found}.")


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        (
            "tmkd",
            ("distill.views.edge.strength=0.5", "distill.weighting.by=teacher_confidence", "distill.reference=base"),
        ),
        ("tmkd", ("distill.logits.temperature=2", "distill.feature.pool=4", "distill.contrast.weight=0.2")),
        ("auto", ("distill.base=dkd", "distill.auto.rungs=3", "distill.feature.bank=64", "distill.warmup=2")),
        ("kd", ("distill.logits.weight=0.3", "distill.teacher_cache.passes=2", "student.baseline=full")),
        ("crd", ("distill.feature.bank=64", "distill.warmup=4", "distill.balance=auto")),
        ("dkd", ("distill.logits.target_weight=2", "teacher.visual.model=resnet34", "distill.on_no_gain=fail")),
        ("fitnet", ("distill.teacher_cache.stages=true",)),
        ("ce", ("distill.ce.weight=2", "train.epochs=3", "distill.teacher_cache.passes=3")),
        ("kd", ("teacher.visual.fit.views=true", "distill.views.edge.strength=0.5")),
    ],
)
def test_key_of_the_method_is_not(method: str, overrides: tuple[str, ...]) -> None:
    assert without_effect(f"distill.method={method}", *overrides) == []


def test_teacher_that_a_gate_asks_for_has_an_effect() -> None:
    assert without_effect("distill.method=ce", "validate.max_drop_from_teacher=0.1", "teacher.on_weak=fail") == []


def test_switched_off_is_no_mistake_where_it_is_off_anyhow() -> None:
    off = ("distill.contrast.weight=0", "distill.student_views=false", "distill.reference=none", "distill.warmup=0")
    assert without_effect("distill.method=kd", *off) == []
    assert without_effect("distill.method=tmkd", "distill.contrast.weight=0", "distill.contrast.temperature=0.1") == [
        "distill.contrast"
    ]


def test_sections_are_named_once_and_in_one_line(files: Write) -> None:
    path = files(
        one="distill:\n  method: ce\n  views: {edge: {strength: 0.5}, zoom: {}}\n  warmup: 3\n  student_views: true\n"
        "  feature: {bank: 4, pool: 3}\nteacher: {visual: {model: resnet34}, text: {prompts: birds}}\n",
    )
    assert no_effect_note(load_recipe(path)) == (
        "note: no effect in this recipe (distill.method ce): teacher, distill.views, distill.student_views,"
        " distill.feature and 1 more key"
    )


@pytest.mark.parametrize(
    ("recipe", "note"),
    [
        (
            "distill: {teacher_cache: {share: seeds, max_gb: 1}}\n",
            "(distill.teacher_cache.passes 0): distill.teacher_cache.share, distill.teacher_cache.max_gb",
        ),
        (
            "distill: {method: ce, teacher_cache: {passes: 2, max_gb: 1}}\n",
            "(distill.method ce): distill.teacher_cache.max_gb",
        ),
        (
            "distill: {weighting: {by: uniform, temperature: 2}}\n",
            "(distill.weighting.by uniform): distill.weighting.temperature",
        ),
        (
            "distill: {method: kd, warmup: 3}\ntrain: {optimizer: adamw, momentum: 0.5}\n",
            "(distill.method kd): distill.warmup; (train.optimizer adamw): train.momentum",
        ),
        (
            "teacher: {visual: {fit: {early_stop: 90}}}\n",
            "(teacher.visual.fit.epochs 60): teacher.visual.fit.early_stop",
        ),
        ("teacher: {text: {fit: {epochs: 3}}}\n", "(teacher.text.weights laion2b_s34b_b79k): teacher.text.fit"),
        (
            "distill: {views: {edge: {mode: replace, strength: 0.5}}}\n",
            "(distill.views.edge.mode replace): distill.views.edge.strength",
        ),
        ("distill: {contrast: {temperature: 0.1}}\n", "(distill.contrast.weight 0.0): distill.contrast"),
        (
            "distill: {base: kd, feature: {bank: 64, pool: 3}, logits: {weight: 0, temperature: 2}}\n",
            "(distill.base kd): distill.feature.pool, distill.feature.bank;"
            " (distill.logits.weight 0.0): distill.logits.temperature",
        ),
        (
            "distill: {teacher_cache: {passes: 2, stages: true}}\n",
            "(distill.base cat_kd): distill.teacher_cache.stages",
        ),
        ("export: {onnx: {keep: all}}\n", '(export.onnx.precision ["fp32"]): export.onnx.keep'),
        ("data: {augment: {crop: none, padding: 2}}\n", "(data.augment.crop none): data.augment.padding"),
    ],
)
def test_note_names_the_key_that_decides(recipe: str, note: str, files: Write) -> None:
    assert no_effect_note(load_recipe(files(one=recipe))) == f"note: no effect in this recipe {note}"


def test_every_key_that_may_have_no_effect_is_decided_by_a_key_of_the_schema() -> None:
    known = {dotted(path) for path in all_paths()}
    recipe = load_recipe("quickstart", ["distill.method=ce"]).recipe
    assert {deciding_key(recipe, key) for key in rules(recipe)} <= known


def test_what_ships_is_for_several_methods_and_is_not_mentioned() -> None:
    assert no_effect_note(load_recipe("quickstart", ["distill.method=kd"])) is None
    assert no_effect_note(load_recipe("quickstart", ["distill.method=kd", "distill.warmup=3"])) is not None
    assert keys_without_effect(Recipe(), []) == []


@pytest.mark.parametrize("command", ["check", "plan"])
def test_commands_say_it_in_one_line_and_succeed(command: str, files: Write) -> None:
    path = files(one="distill: {method: kd, views: {edge: {}}}\n")
    outcome = run_command(command, path)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines().count("note: no effect in this recipe (distill.method kd): distill.views") == 1
