"""What is compared: the arms of a comparison, each a recipe that differs from the given one in a few keys."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from exporters.core.errors import UsageError
from pipeline.distill.registry import base_methods
from pipeline.distill.settings import AUTO, METHOD_NAMES
from pipeline.recipe import load_recipe
from pipeline.recipe.reading.overrides import Override
from pipeline.recipe.references import base_name
from pipeline.recipe.schema.recipe import Recipe
from pipeline.settings import check_names
from pipeline.tmkd.settings import IMAGE_TOWER_WEIGHTINGS, WeightingSettings
from pipeline.tmkd.views.settings import VIEW_KINDS, ViewSettings

ABLATIONS = ("views", "weighting", "contrast")
"""The switches of TMKD that an ablation can turn."""

WEIGHTINGS: tuple[str, ...] = get_args(WeightingSettings.model_fields["by"].annotation)

_GUIDED = ("distill.weighting.by=teacher_confidence", "distill.weighting.temperature=0.1")
_NO_CONTRAST = "distill.contrast.weight=0"
# A missed gate is reported and does not end a comparison; the last one is about the teacher.
WITHOUT_GATES = (
    "validate.min_top1=0",
    "validate.max_drop_from_teacher=null",
    "validate.min_class_recall=null",
    "validate.max_ece=null",
    "teacher.on_weak=warn",
)
# Plain training and the base are arms of their own.
WITHOUT_YARDSTICKS = ("student.baseline=null", "distill.on_no_gain=warn", "distill.reference=none")


@dataclass(frozen=True)
class Arm:
    """One recipe of a comparison, without its seed.

    Attributes:
        name: as tables show it.
        method: `distill.method`.
        base: `distill.base` where the method is `tmkd`, else None.
        overrides: `key=value` texts against the recipe.
        reference: the arm that it is paired with; None where there is none.
        ablates: the switch that it turns; None for an arm of the main table.
    """

    name: str
    method: str
    base: str | None
    overrides: tuple[str, ...]
    reference: str | None = None
    ablates: str | None = None


@dataclass(frozen=True)
class Source:
    """The recipe of a comparison before any arm: a name, a path or the values, and the user's own overrides."""

    recipe: str | Path | Mapping[str, Any]
    overrides: tuple[str | Override, ...] = ()

    def warn(self, warn: Callable[[str], None]) -> None:
        """Give `warn` each warning of the recipe, as `LoadedRecipe.warned` does."""
        load_recipe(self.recipe, self.overrides).warned(warn)

    def load(self, *more: str) -> Recipe:
        """The recipe with further overrides, checked.

        Raises:
            UsageError: its mistakes.
        """
        return load_recipe(self.recipe, [*self.overrides, *more]).recipe

    def load_arm(self, arm: Arm, seed: int) -> Recipe:
        """The recipe of one run: missed gates and a weak teacher are reported and end nothing; seeds share a teacher
        cache unless the recipe says otherwise."""
        overrides = (*arm.overrides, *WITHOUT_GATES, *WITHOUT_YARDSTICKS, f"seed={seed}")
        if self.load(*arm.overrides).distill.teacher_cache.share == "auto":
            overrides += ("distill.teacher_cache.share=seeds",)
        return self.load(*overrides)


def make_arms(
    source: Source,
    methods: Sequence[str],
    bases: Sequence[str] | None = None,
    ablate: Sequence[str] | None = None,
    weightings: Sequence[str] | None = None,
) -> tuple[Arm, ...]:
    """The arms that a comparison was asked for, with the references that its differences need.

    A `tmkd` arm is paired with the same losses on views [rgb] and no contrast: the base itself where its losses are the
    same, else with an arm of its own, such as `cat_kd+kd`. Others are paired with `ce` where it is there.
    Loss weights that the recipe gives are for its own method and base; arms of others take the defaults of theirs.

    Args:
        source: the recipe.
        methods: names of `METHODS`.
        bases: what `tmkd` plugs into; None: the recipe's `distill.base`.
        ablate: of `ABLATIONS`, turned one at a time on the first base; `weighting` and `contrast` are crossed;
            None: nothing.
        weightings: what the ablation of `weighting` turns to; None: all others that the text teacher can serve.

    Raises:
        UsageError: a name that does not exist or stands twice, none at all, bases or ablations without `tmkd`, or an
            arm that is no valid recipe.
    """
    recipe = source.load()
    check_names("--methods", methods, METHOD_NAMES)
    plugged = "tmkd" in methods
    if bases is not None and not plugged:
        raise UsageError("--bases: only tmkd plugs into a base, and --methods has no tmkd")
    if ablate is not None and not plugged:
        raise UsageError("--ablate: the switches are those of tmkd, and --methods has no tmkd")
    chosen = (recipe.distill.base,) if bases is None else tuple(bases)
    if plugged:
        check_names("--bases", chosen, base_methods())
    if ablate is not None:
        check_names("--ablate", ablate, ABLATIONS)
    if weightings is not None:
        if "weighting" not in (ablate or ()):
            raise UsageError("--weightings: only --ablate weighting turns to them")
        check_names("--weightings", weightings, WEIGHTINGS)

    arms = [_alone(recipe, method) for method in methods if method != "tmkd"]
    for base in chosen if plugged else ():
        arms += _on_base(source, recipe, base)
    if ablate:
        whole = next(arm for arm in arms if arm.name == f"tmkd on {chosen[0]}")
        arms += _ablations(recipe, whole, ablate, weightings)
    arms = list({arm.name: arm for arm in arms}.values())
    names = {arm.name for arm in arms}
    arms = [arm if arm.reference in names else replace(arm, reference=None) for arm in arms]
    for arm in arms:
        source.load_arm(arm, recipe.seed)
    return tuple(arms)


def _alone(recipe: Recipe, method: str) -> Arm:
    overrides = (f"distill.method={method}", *_losses_of_its_own(recipe, method))
    return Arm(method, method, None, overrides, reference="ce" if method != "ce" else None)


def _on_base(source: Source, recipe: Recipe, base: str) -> list[Arm]:
    """The `tmkd` arm on a base, after its reference."""
    alone = _alone(recipe, base)
    overrides = ("distill.method=tmkd", f"distill.base={base}", *_losses_of_its_own(recipe, base))
    plain = (*overrides, "distill.views={}", _NO_CONTRAST)
    losses, own = source.load(*plain).distill.losses, source.load(*alone.overrides).distill.losses
    if losses == own.model_copy(update={"contrast": losses.contrast}):
        return [alone, Arm(f"tmkd on {base}", "tmkd", base, overrides, reference=base)]
    name = base_name(source.load(*plain))
    return [
        Arm(name, "tmkd", base, plain, reference="ce"),
        Arm(f"tmkd on {base}", "tmkd", base, overrides, reference=name),
    ]


def _losses_of_its_own(recipe: Recipe, method: str) -> tuple[str, ...]:
    """Overrides that give a method its default weights, where the recipe's are meant for another."""
    own = {recipe.distill.method}
    if recipe.distill.may_use_tmkd:
        own |= {AUTO, recipe.distill.base}
    if method in own:
        return ()
    distill = recipe.distill
    given = {
        "ce.weight": distill.ce.weight,
        "feature.weight": distill.feature.weight,
        "logits.weight": distill.logits.weight,
        "logits.temperature": distill.logits.temperature,
    }
    return tuple(f"distill.{key}=null" for key, value in given.items() if value is not None)


def _ablations(recipe: Recipe, whole: Arm, ablate: Sequence[str], weightings: Sequence[str] | None) -> Iterator[Arm]:
    """Arms that turn one switch of `whole`."""

    def arm(turned: str, switch: str, *overrides: str) -> Arm:
        return replace(whole, name=f"{whole.name}: {turned}", overrides=(*whole.overrides, *overrides), ablates=switch)

    views = recipe.distill.views
    contrasted = recipe.distill.contrast.weight > 0
    name, contrast = ("no contrast", _NO_CONTRAST) if contrasted else ("with contrast", _contrast(recipe))
    if "contrast" in ablate:
        yield arm(name, "contrast", contrast)
        if contrasted and recipe.distill.contrast.centre:
            yield arm("uncentred contrast", "contrast", "distill.contrast.centre=false")
    if "weighting" in ablate and views:
        for by in _served(recipe) if weightings is None else weightings:
            settings = _GUIDED if by == "teacher_confidence" else (f"distill.weighting.by={by}",)
            yield arm(by, "weighting", *settings)
            if "contrast" in ablate:
                yield arm(f"{by}, {name}", "weighting", *settings, contrast)
    if "views" in ablate:
        for kept, overrides in _views_alone(views):
            yield arm(f"{kept} alone", "views", *overrides)


def _views_alone(views: Mapping[str, ViewSettings] | Literal["auto"]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Name → overrides that leave one view beside rgb: each of the recipe's, or under `auto` one of each kind."""
    if views == "auto":
        yield from ((kind, (f"distill.views={{{kind}: {{}}}}",)) for kind in VIEW_KINDS)
    elif len(views) > 1:
        for kept in views:
            yield kept, tuple(f"distill.views.{name}=null" for name in views if name != kept)


def _contrast(recipe: Recipe) -> str:
    """The override that turns the contrast on: a small share, or the weight that TMKD's published numbers have."""
    return f"distill.contrast.weight={0.1 if recipe.distill.balance == 'auto' else 0.8}"


def _served(recipe: Recipe) -> list[str]:
    """The weightings that the recipe's text teacher can serve, but its own."""
    missing = () if recipe.teacher.text.has_image_tower else IMAGE_TOWER_WEIGHTINGS
    return [by for by in WEIGHTINGS if by != recipe.distill.weighting.by and by not in missing]
