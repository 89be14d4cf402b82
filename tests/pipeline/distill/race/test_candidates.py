import pytest

from pipeline.distill.race.candidates import Candidate, by_promise, candidate, candidate_names, default_candidates
from pipeline.distill.registry import METHODS, base_methods


@pytest.mark.parametrize("name", candidate_names())
def test_every_name_is_that_of_its_candidate(name: str) -> None:
    assert candidate(name).name == name


def test_tmkd_is_a_candidate_only_on_a_base() -> None:
    assert candidate("tmkd on crd") == Candidate("tmkd", "crd") and candidate("kd") == Candidate("kd")
    for name in ("tmkd", "tmkd on ce", "tmkd on tmkd", "auto", "no such"):
        with pytest.raises(ValueError, match=name):
            candidate(name)


@pytest.mark.parametrize("base", ["kd", "cat_kd", "fitnet"])
def test_default_race_has_every_base_that_a_teacher_cache_serves(base: str) -> None:
    candidates = default_candidates(base)
    served = {name for name in base_methods() if not METHODS[name].needs_stages}
    assert {each.method for each in candidates} == {"ce", "tmkd"} | served
    assert candidates[0] == Candidate("ce")  # of equals the plain one wins
    plugged = [each.base for each in candidates if each.method == "tmkd"]
    assert set(plugged) == {base, "kd", "dkd"} & served and len(plugged) == len(set(plugged))
    methods = [each.method for each in candidates]
    assert methods == sorted(methods, key="tmkd".__eq__)


def test_tmkd_on_the_given_base_is_the_most_promising_and_plain_training_the_least() -> None:
    names = ("ce", "kd", "crd", "cat_kd", "tmkd on kd", "tmkd on cat_kd")
    racing = [candidate(name) for name in names]
    assert by_promise(racing, "cat_kd") == ("tmkd on cat_kd", "cat_kd", "tmkd on kd", "kd", "crd", "ce")
    assert by_promise(racing, "sp") == ("tmkd on kd", "tmkd on cat_kd", "kd", "crd", "cat_kd", "ce")
