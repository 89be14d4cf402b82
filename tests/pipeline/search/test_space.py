"""What a search is asked for, before anything is trained."""

from pathlib import Path

import pytest

from exporters.core.errors import UsageError
from pipeline.recipe import load_recipe
from pipeline.search.space import Bounds, Training
from tests.pipeline.search.making import STUDENTS, asked_on


def test_bounds_name_what_is_beyond_them() -> None:
    bounds = Bounds(latency_ms=2, size_mb=0.5, top1=0.7)
    assert bounds.missed(2.0, 500_000, 0.7) is None
    assert bounds.missed(2.1, 500_000) == "2.1 ms, at most 2"
    assert bounds.missed(1, 500_001, 0.6) == "0.5 MB, at most 0.5; top-1 0.6000, at least 0.7"
    assert Bounds().missed(1e9, 10**12, 0.0) is None


def test_students_and_methods_are_crossed_and_keep_the_rest_of_the_recipe(tiny_recipe: Path) -> None:
    asked = asked_on(tiny_recipe)
    assert set(asked.trainings) == {Training(student, method) for student in STUDENTS for method in ("ce", "kd")}
    recipe = asked.recipe(Training("cifar:resnet14", "kd"))
    assert (recipe.student.model, recipe.distill.method, recipe.train.epochs) == ("cifar:resnet14", "kd", 4)
    assert recipe.export.onnx.precision == ["fp32", "int8"] and recipe.export.onnx.keep == "all"
    assert asked.lengths == (2, 4)
    assert asked.recipe(Training("cifar:resnet14", "kd"), 2).train.epochs == 2


def test_tmkd_stands_for_tmkd_on_the_base_of_the_recipe(tiny_recipe: Path) -> None:
    assert asked_on(tiny_recipe, methods=("tmkd",)).methods == ("tmkd on cat_kd",)
    assert asked_on(tiny_recipe, methods=None).methods == ("tmkd on cat_kd",)
    own = asked_on(tiny_recipe, methods=("tmkd",)).recipe(Training("cifar:resnet8", "tmkd on cat_kd"))
    assert own.distill == load_recipe(tiny_recipe, ["distill.on_no_gain=warn", "distill.reference=none"]).recipe.distill


def test_bounds_that_are_left_out_are_those_of_the_recipe(tiny_recipe: Path) -> None:
    overrides = ("validate.max_latency_ms=3", "validate.max_size_mb=2", "validate.min_top1=0.4")
    assert asked_on(tiny_recipe, *overrides).bounds == Bounds(3, 2, 0.4)
    assert asked_on(tiny_recipe, *overrides, bounds=Bounds(1, None, 0.9)).bounds == Bounds(1, 2, 0.9)


def test_chosen_run_has_the_gates_of_the_recipe_and_only_the_chosen_file(tiny_recipe: Path, tmp_path: Path) -> None:
    asked = asked_on(tiny_recipe, "validate.max_ece=0.5", bounds=Bounds(1, 1, 0.3))
    candidate = asked.recipe(Training("cifar:resnet8", "kd"))
    chosen = asked.chosen_recipe(Training("cifar:resnet8", "kd"), "int8")
    assert candidate.gates.max_ece is None and candidate.gates.min_top1 == 0
    assert (chosen.gates.max_ece, chosen.gates.min_top1, chosen.gates.max_latency_ms) == (0.5, 0.3, None)
    assert (chosen.export.onnx.precision, chosen.export.onnx.required) == (["fp32", "int8"], ["int8"])
    assert asked.chosen_recipe(Training("cifar:resnet8", "kd"), "fp32").export.onnx.precision == ["fp32"]
    written = tmp_path / "chosen.yaml"
    written.write_text(chosen.to_yaml())
    assert load_recipe(written).recipe.resolved() == chosen.resolved()


def test_identity_follows_what_the_trials_follow_from(tiny_recipe: Path) -> None:
    first = asked_on(tiny_recipe).identity
    assert asked_on(tiny_recipe).identity == first
    changed = [
        asked_on(tiny_recipe, "train.lr=0.01"),
        asked_on(tiny_recipe, bounds=Bounds(1)),
        asked_on(tiny_recipe, students=STUDENTS[:1]),
        asked_on(tiny_recipe, threads=2),
        asked_on(tiny_recipe, rungs=0),
    ]
    assert len({first, *(each.identity for each in changed)}) == 6


@pytest.mark.parametrize(
    ("overrides", "changes", "message"),
    [
        ((), {"students": ()}, "--students: expected at least one name"),
        ((), {"students": ("cifar:resnet8", "cifar:resnet8")}, "--students: cifar:resnet8 stands there twice"),
        ((), {"precisions": ("int4",)}, "--precisions: there is no 'int4'"),
        ((), {"methods": ("kd", "magic")}, "--methods: there is no 'magic'"),
        (("student.weights=mine.pth",), {}, "student.weights: mine.pth is made for cifar:resnet8"),
    ],
)
def test_what_makes_no_search_is_refused(
    tiny_recipe: Path, overrides: tuple[str, ...], changes: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(UsageError) as error:
        asked_on(tiny_recipe, *overrides, **changes)
    assert message in str(error.value)


def test_all_unknown_students_are_named_at_once(tiny_recipe: Path) -> None:
    with pytest.raises(UsageError) as error:
        asked_on(tiny_recipe, students=("cifar:resnet9", "timm:mobilnet", "cifar:resnet8"))
    assert "cifar:resnet9" in str(error.value) and "mobilnet" in str(error.value)
    assert str(error.value).count("--students: expected a model") == 2 and "--set" not in str(error.value)
