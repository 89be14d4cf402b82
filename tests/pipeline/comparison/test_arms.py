import pytest

from exporters.core.errors import UsageError
from pipeline.comparison.arms import Arm, Source, make_arms
from pipeline.comparison.planned import folder_name
from pipeline.recipe.references import falls_back, trains_baseline, trains_reference
from pipeline.tmkd.views.settings import VIEW_KINDS

QUICKSTART = Source("quickstart")
CONTRASTED = Source("quickstart", ("distill.contrast.weight=0.1",))


def named(*arguments: object, source: Source = QUICKSTART) -> dict[str, Arm]:
    arms = make_arms(source, *arguments)  # type: ignore[arg-type]
    assert len({folder_name(arm.name) for arm in arms}) == len(arms)
    return {arm.name: arm for arm in arms}


def test_a_difference_is_paired_with_the_same_losses() -> None:
    arms = named(("ce", "tmkd"), ("kd", "cat_kd", "dkd"))
    assert list(arms) == ["ce", "kd", "tmkd on kd", "cat_kd+kd", "tmkd on cat_kd", "dkd", "tmkd on dkd"]
    assert {name: arm.reference for name, arm in arms.items()} == {
        "ce": None, "kd": "ce", "tmkd on kd": "kd", "cat_kd+kd": "ce", "tmkd on cat_kd": "cat_kd+kd", "dkd": "ce",
        "tmkd on dkd": "dkd",
    }  # fmt: skip


@pytest.mark.parametrize("base", ["kd", "dkd", "logit_std", "cat_kd", "crd"])
def test_the_reference_has_no_views_no_contrast_and_equal_losses(base: str) -> None:
    arms = named(("tmkd",), (base,), source=CONTRASTED)
    tmkd = arms[f"tmkd on {base}"]
    assert tmkd.reference is not None
    ours, theirs = (CONTRASTED.load_arm(arm, 0).distill for arm in (tmkd, arms[tmkd.reference]))
    assert theirs.method != "tmkd" or (not theirs.views and theirs.base == base)
    assert theirs.losses.contrast.weight == 0 < ours.losses.contrast.weight
    for section in ("ce", "feature", "logits"):
        assert getattr(ours.losses, section) == getattr(theirs.losses, section)


def test_added_feature_loss_makes_a_reference_of_its_own() -> None:
    source = Source("quickstart", ("distill.base=kd", "distill.feature.weight=3"))
    arms = named(("kd", "tmkd"), source=source)
    assert arms["tmkd on kd"].reference == "kd+cam"
    assert source.load_arm(arms["kd+cam"], 0).distill.losses.feature.weight == 3
    assert source.load_arm(arms["kd"], 0).distill.losses.feature.weight == 0


def test_weights_of_the_recipe_are_for_its_own_method_and_base() -> None:
    source = Source("quickstart", ("distill.feature.weight=7", "distill.logits.weight=0.3", "distill.ce.weight=0.5"))
    arms = named(("kd", "cat_kd", "tmkd"), ("cat_kd", "kd"), source=source)
    losses = {name: source.load_arm(arm, 0).distill.losses for name, arm in arms.items()}
    for name in ("tmkd on cat_kd", "cat_kd+kd"):
        assert (losses[name].ce.weight, losses[name].feature.weight, losses[name].logits.weight) == (0.5, 7, 0.3)
    assert (losses["cat_kd"].feature.weight, losses["cat_kd"].logits.weight) == (7, 0)
    for name in ("kd", "tmkd on kd"):
        assert (losses[name].ce.weight, losses[name].feature.weight, losses[name].logits.weight) == (0.5, 0, 0.5)


def test_auto_is_an_arm_that_keeps_the_weights_of_the_recipes_base() -> None:
    source = Source("quickstart", ("distill.logits.weight=0.3",))
    arms = named(("ce", "auto", "tmkd"), ("kd",), source=source)
    assert (arms["auto"].method, arms["auto"].base, arms["auto"].reference) == ("auto", None, "ce")
    distill = source.load_arm(arms["auto"], 0).distill
    assert distill.method == "auto" and distill.logits.weight == 0.3
    # Those of a recipe for another method than TMKD are not for its distill.base.
    source = Source("quickstart", ("distill.method=kd", "distill.logits.weight=0.3"))
    assert source.load_arm(named(("auto",), source=source)["auto"], 0).distill.logits.weight is None


def test_an_ablation_turns_one_switch_on_the_first_base() -> None:
    switches, weightings = ("views", "weighting", "contrast"), ("uniform", "teacher_confidence")
    arms = named(("tmkd",), ("cat_kd", "kd"), switches, weightings, source=CONTRASTED)
    turned = {name: arm.ablates for name, arm in arms.items() if arm.ablates}
    whole = "tmkd on cat_kd"
    assert turned == {
        f"{whole}: no contrast": "contrast", f"{whole}: uncentred contrast": "contrast",
        f"{whole}: uniform": "weighting", f"{whole}: uniform, no contrast": "weighting",
        f"{whole}: teacher_confidence": "weighting", f"{whole}: teacher_confidence, no contrast": "weighting",
        f"{whole}: edge alone": "views", f"{whole}: high_frequency alone": "views",
        f"{whole}: zoom alone": "views", f"{whole}: flip alone": "views",
    }  # fmt: skip
    assert {arms[name].reference for name in turned} == {"cat_kd+kd"}
    recipes = {name: CONTRASTED.load_arm(arms[name], 0).distill for name in turned}
    assert recipes[f"{whole}: no contrast"].contrast.weight == 0
    assert not recipes[f"{whole}: uncentred contrast"].contrast.centre
    assert recipes[f"{whole}: uniform, no contrast"].weighting.by == "uniform"
    assert recipes[f"{whole}: teacher_confidence"].weighting.temperature == 0.1
    assert list(recipes[f"{whole}: edge alone"].views) == ["edge"]


@pytest.mark.parametrize(("balance", "weight"), [("auto", 0.1), ("none", 0.8)])
def test_a_recipe_without_contrast_is_turned_to_one_with_it(balance: str, weight: float) -> None:
    source = Source("quickstart", (f"distill.balance={balance}",))
    arms = named(("tmkd",), None, ("weighting", "contrast"), ("uniform",), source=source)
    whole = "tmkd on cat_kd"
    assert [name for name, arm in arms.items() if arm.ablates] == [
        f"{whole}: with contrast", f"{whole}: uniform", f"{whole}: uniform, with contrast",
    ]  # fmt: skip
    weights = {name: source.load_arm(arm, 0).distill.contrast.weight for name, arm in arms.items()}
    assert weights[whole] == weights[f"{whole}: uniform"] == 0
    assert weights[f"{whole}: with contrast"] == weights[f"{whole}: uniform, with contrast"] == weight


def test_views_left_open_are_ablated_kind_by_kind() -> None:
    source = Source("quickstart", ("distill.views=auto",))
    arms = named(("tmkd",), None, ("views",), source=source)
    whole, reference = "tmkd on cat_kd", arms["tmkd on cat_kd"].reference
    assert [name for name, arm in arms.items() if arm.ablates] == [f"{whole}: {kind} alone" for kind in VIEW_KINDS]
    assert reference is not None and not source.load_arm(arms[reference], 0).distill.views
    assert source.load_arm(arms[whole], 0).distill.views == "auto"
    assert list(source.load_arm(arms[f"{whole}: zoom alone"], 0).distill.views) == ["zoom"]


def test_weightings_are_those_that_the_text_teacher_can_serve() -> None:
    def weightings(*overrides: str) -> set[str]:
        arms = named(("tmkd",), None, ("weighting",), source=Source("quickstart", overrides))
        return {name.partition(": ")[2] for name, arm in arms.items() if arm.ablates}

    assert weightings() >= {"uniform", "teacher_confidence", "text"}
    file = ("teacher.text.weights=a.npz", "teacher.text.tower=null", "distill.weighting.by=uniform")
    assert weightings(*file) == {"teacher_confidence", "text"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("kdd",), r"--methods: there is no 'kdd'; did you mean kd\?"),
        ((), r"--methods: expected at least one name"),
        ((("tmkd",), ()), r"--bases: expected at least one name"),
        ((("tmkd",), ("ce",)), r"--bases: there is no 'ce'"),
        ((("tmkd",), ("tmkd",)), r"--bases: there is no 'tmkd'"),
        ((("kd", "ce"), ("kd",)), r"--bases: only tmkd plugs into a base"),
        ((("kd", "kd"),), r"--methods: kd stands there twice"),
        ((("kd",), None, ("views",)), r"--ablate: .* no tmkd"),
        ((("tmkd",), None, ()), r"--ablate: expected at least one name"),
        ((("tmkd",), None, ("colour",)), r"--ablate: there is no 'colour'"),
        ((("tmkd",), None, ("views",), ("uniform",)), r"--weightings: only --ablate weighting"),
        ((("tmkd",), None, ("weighting",), ("luck",)), r"--weightings: there is no 'luck'"),
    ],
)
def test_invalid_arms_are_refused(arguments: tuple, message: str) -> None:
    first = arguments if arguments and isinstance(arguments[0], tuple) else (arguments,)
    with pytest.raises(UsageError, match=message):
        make_arms(QUICKSTART, *first)


def test_run_of_an_arm_has_its_seed_and_no_gates() -> None:
    recipe = QUICKSTART.load_arm(named(("ce",))["ce"], 7)
    assert recipe.seed == 7 and recipe.gates.min_top1 == 0 and recipe.gates.max_drop_from_teacher is None
    assert recipe.data.split_seed == QUICKSTART.load().data.split_seed
    assert (recipe.student.baseline, recipe.distill.on_no_gain, recipe.distill.reference) == (None, "warn", "none")


def test_arms_train_no_baseline_whatever_the_recipe_asks_for() -> None:
    source = Source("quickstart", ("student.baseline=full", "distill.on_no_gain=fall_back", "distill.reference=base"))
    for arm in named(("ce", "tmkd"), source=source).values():
        recipe = source.load_arm(arm, 0)
        assert not trains_baseline(recipe) and not trains_reference(recipe) and not falls_back(recipe)


@pytest.mark.parametrize(("said", "share"), [(None, "seeds"), ("none", "none"), ("seeds", "seeds")])
def test_seeds_share_a_teacher_cache_unless_the_recipe_says_otherwise(said: str | None, share: str) -> None:
    source = Source("quickstart", () if said is None else (f"distill.teacher_cache.share={said}",))
    assert {
        source.load_arm(arm, 1).distill.teacher_cache.share for arm in named(("ce", "kd"), source=source).values()
    } == {share}
