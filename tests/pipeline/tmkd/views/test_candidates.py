from pipeline.tmkd.views.candidates import CANDIDATES, FITTED
from pipeline.tmkd.views.settings import VIEW_CLASSES, VIEW_KINDS, default_views


def test_every_kind_is_a_candidate_as_it_is_by_default() -> None:
    assert {name: CANDIDATES[name] for name in VIEW_KINDS} == {
        kind: view() for kind, view in zip(VIEW_KINDS, VIEW_CLASSES, strict=True)
    }


def test_weaker_candidates_are_of_the_kind_that_they_are_called_after() -> None:
    for name, view in CANDIDATES.items():
        assert name.removesuffix("_weak") == view.kind
    assert len(set(map(repr, CANDIDATES.values()))) == len(CANDIDATES)


def test_teachers_are_fitted_on_the_default_views_whatever_is_chosen() -> None:
    assert dict(FITTED) == default_views()
    assert all(CANDIDATES[name] == view for name, view in FITTED.items())
