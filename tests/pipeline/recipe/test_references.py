"""The recipes of plain training and of the base, against the recipes that a user would write for them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.core.errors import UsageError
from pipeline.recipe import load_recipe
from pipeline.recipe.references import (
    base_name,
    base_recipe,
    baseline_epochs,
    falls_back,
    plain_recipe,
    shortened,
    trains_baseline,
    trains_reference,
)
from pipeline.recipe.schema.recipe import Recipe
from pipeline.stages.shared.student_training import student_parameters
from pipeline.training.settings import FitSettings, NetworkFitSettings

FULL = "student.baseline=full"


def quickstart(*overrides: str) -> Recipe:
    return load_recipe("quickstart", overrides).recipe


def test_full_baseline_is_the_recipe_of_plain_training() -> None:
    plain = plain_recipe(quickstart(FULL))
    assert student_parameters(plain) == student_parameters(quickstart("distill.method=ce"))


@pytest.mark.parametrize("weight", ["0", "0.1"])
def test_weight_of_the_cross_entropy_beside_a_teacher_is_not_that_of_plain_training(weight: str) -> None:
    plain = plain_recipe(quickstart(FULL, f"distill.ce.weight={weight}"))
    assert plain.distill.losses.ce.weight == 1 and plain.distill.losses.logits.weight == 0


def test_base_is_the_recipe_without_views_and_contrast() -> None:
    base = base_recipe(quickstart("distill.reference=base"))
    own = quickstart("distill.views={edge: null, high_frequency: null}", "distill.contrast.weight=0")
    assert student_parameters(base) == student_parameters(own)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [((), "cat_kd+kd"), (("distill.base=kd",), "kd"), (("distill.base=kd", "distill.feature.weight=1"), "kd+cam")],
)
def test_base_is_named_by_its_losses(overrides: tuple[str, ...], name: str) -> None:
    assert base_name(quickstart(*overrides)) == name


@pytest.mark.parametrize(
    ("overrides", "baseline", "reference"),
    [
        ((), True, False),
        (("student.baseline=null",), False, False),
        (("student.baseline=0.5",), False, False),
        (("distill.method=ce", FULL), False, False),
        (("distill.method=kd", "distill.reference=base"), True, False),
        (("distill.reference=base",), True, True),
        (("distill.method=auto", "student.baseline=null"), True, False),
    ],
)
def test_students_that_are_trained_for_comparison(overrides: tuple[str, ...], baseline: bool, reference: bool) -> None:
    recipe = quickstart("student.baseline=auto", "distill.reference=none", *overrides)
    assert (trains_baseline(recipe), trains_reference(recipe)) == (baseline, reference)


@pytest.mark.parametrize(
    ("epochs", "overrides", "expected"),
    [
        (30, (), 3),
        (6, (), 1),
        (1, (), 1),
        (240, (), 24),
        (30, (FULL,), 30),
        (30, ("distill.on_no_gain=fall_back",), 30),
        (30, ("distill.on_no_gain=fail",), 30),
        (30, ("distill.method=auto",), 30),
    ],
)
def test_baseline_takes_a_tenth_unless_something_follows_from_it(
    epochs: int, overrides: tuple[str, ...], expected: int
) -> None:
    recipe = quickstart("student.baseline=auto", f"train.epochs={epochs}", *overrides)
    assert baseline_epochs(recipe) == expected == plain_recipe(recipe).train.epochs


@pytest.mark.parametrize(
    ("action", "baseline", "accepted"),
    [("fall_back", "null", False), ("fall_back", "0.5", False), ("fail", "null", False), ("fail", "0.5", True),
     ("fall_back", "auto", True), ("warn", "null", True)],
)  # fmt: skip
def test_consequence_needs_something_to_compare_with(action: str, baseline: str, accepted: bool) -> None:
    overrides = f"distill.on_no_gain={action}", f"student.baseline={baseline}"
    if accepted:
        assert falls_back(quickstart(*overrides)) is (action == "fall_back")
    else:
        with pytest.raises(UsageError, match=f"distill.on_no_gain: expected warn where student.baseline is {baseline}"):
            quickstart(*overrides)
    assert not falls_back(quickstart(*overrides, "distill.method=ce"))
    # `auto` trains its own plain student, whatever student.baseline says.
    assert falls_back(quickstart(*overrides, "distill.method=auto")) is (action != "fail")


def test_milestones_and_warmup_keep_their_shares() -> None:
    whole = FitSettings(epochs=240, early_stop=5, schedule={"milestones": [150, 180, 210], "warmup": 20.0})
    short = shortened(whole, 24)
    assert (short.epochs, short.schedule.milestones, short.early_stop) == (24, (15, 18, 21), None)
    assert short.schedule.warmup == pytest.approx(2.0)
    assert shortened(whole, 240) is whole


def test_milestones_that_fall_together_or_away_leave_a_constant_rate() -> None:
    whole = FitSettings(epochs=30, schedule={"milestones": [1, 28, 29]})
    assert shortened(whole, 3).schedule.kind == "constant"
    assert shortened(FitSettings(epochs=30, schedule={"milestones": [14, 16]}), 4).schedule.milestones == (2,)


@pytest.mark.parametrize(("epochs", "head"), [(60, 10), (12, 2), (3, 0), (1, 0)])
def test_head_alone_keeps_its_share_of_a_short_schedule(epochs: int, head: int) -> None:
    whole = NetworkFitSettings(epochs=60, head_epochs=10)
    assert shortened(whole, epochs).head_epochs == head
    assert shortened(NetworkFitSettings(epochs=2, head_epochs=1), 1).head_epochs == 0


@given(
    epochs=st.integers(2, 400),
    milestones=st.sets(st.integers(1, 399), max_size=4),
    share=st.floats(0, 1),
    warmup=st.floats(0, 0.99),
)
@settings(deadline=None, max_examples=100)
def test_short_schedule_is_valid(epochs: int, milestones: set[int], share: float, warmup: float) -> None:
    within = sorted(milestone for milestone in milestones if milestone < epochs)
    schedule = {"milestones": within} if within else {"kind": "cosine"}
    whole = FitSettings(epochs=epochs, schedule={**schedule, "warmup": warmup * epochs})
    length = max(1, round(share * epochs))
    short = shortened(whole, length)
    assert short.epochs == length and short.schedule.warmup / length == pytest.approx(warmup)
    assert short.model_dump() == FitSettings.model_validate(short.model_dump()).model_dump()
    for scaled in short.schedule.milestones:
        assert min(abs(scaled - length * milestone / epochs) for milestone in within) <= 0.5
