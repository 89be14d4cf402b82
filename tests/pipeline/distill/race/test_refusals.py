import pytest

from exporters.core.errors import UsageError
from pipeline.distill.race.refusals import workable_candidates
from pipeline.distill.settings import DistillSettings


def refuse(*names: str):
    """Builds everything but these methods and what is plugged into them."""

    def build(distill: DistillSettings) -> None:
        built = distill.base if distill.method == "tmkd" else distill.method
        if built in names:
            raise UsageError(f"{built}: these networks do not suit it")

    return build


def test_refused_methods_leave_the_open_race_with_a_reason() -> None:
    distill = DistillSettings(method="auto", base="cat_kd")
    working, refused = workable_candidates(distill, refuse("cat_kd"))
    names = [each.name for each in working]
    assert "cat_kd" not in names and "tmkd on cat_kd" not in names and {"ce", "kd", "tmkd on kd"} <= set(names)
    assert refused == dict.fromkeys(("cat_kd", "tmkd on cat_kd"), "cat_kd: these networks do not suit it")


def test_method_that_the_recipe_names_is_not_left_out_silently() -> None:
    distill = DistillSettings.model_validate({"method": "auto", "auto": {"candidates": ["kd", "tmkd on cat_kd"]}})
    assert [each.name for each in workable_candidates(distill, refuse("dkd"))[0]] == ["ce", "kd", "tmkd on cat_kd"]
    with pytest.raises(UsageError, match="cat_kd: these networks"):
        workable_candidates(distill, refuse("cat_kd"))


def test_race_without_any_taught_candidate_is_refused() -> None:
    distill = DistillSettings(method="auto")
    every = {each.base or each.method for each in distill.candidates} - {"ce"}
    with pytest.raises(UsageError, match="these networks"):
        workable_candidates(distill, refuse(*every))


def test_single_method_is_its_only_candidate() -> None:
    distill = DistillSettings(method="tmkd", base="kd")
    seen: list[DistillSettings] = []
    assert [each.name for each in workable_candidates(distill, seen.append)[0]] == ["tmkd on kd"]
    assert seen == [distill]
    with pytest.raises(UsageError):
        workable_candidates(distill, refuse("kd"))
    assert workable_candidates(DistillSettings(method="ce"), refuse("kd"))[0][0].name == "ce"
