import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.answers import Answers
from pipeline.evaluation.view_search import LEAST_GAIN, MOST_VIEWS, search_views
from pipeline.tmkd.weight_rule import WeightRule
from pipeline.tmkd.weighting import confidence_weighting, uniform_weighting
from tests.pipeline.evaluation.answers import made_answers


def uniform(_names: tuple[str, ...]) -> WeightRule:
    return WeightRule(uniform_weighting, 1.0)


def measured(answers: Answers, names: tuple[str, ...]) -> tuple[float, float]:
    """NLL and top-1 of the mean logits of some views, by numpy."""
    logits = answers.select(names).logits.double().numpy().mean(axis=0)
    rows, labels = np.arange(len(logits)), answers.labels.numpy()
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[rows, labels]
    return float(losses.mean()), float((logits.argmax(axis=1) == labels).mean())


def test_views_that_help_are_taken_best_first_and_others_are_not() -> None:
    answers = made_answers(0, 600, rgb=3.0, useless=-2.0, good=3.5, better=4.0)
    search = search_views(answers, {"useless": "a", "good": "b", "better": "c"}, uniform)
    assert search.names == ("rgb", "better", "good")
    assert search.taken == ("better", "good", None)
    first = search.steps[0]
    assert set(first) == {"useless", "good", "better"}
    before, after = measured(answers, ("rgb",)), measured(answers, ("rgb", "better"))
    assert first["better"]["nll"] == pytest.approx(after[0], abs=1e-4)
    assert first["better"]["gain"] == pytest.approx(before[0] - after[0], abs=1e-4)
    assert first["better"]["top1"] == pytest.approx(after[1], abs=1e-6)
    assert search.to_json()[0]["taken"] == "better"


def test_rgb_stays_alone_where_nothing_helps() -> None:
    answers = made_answers(1, 400, rgb=4.0, bad=-1.0, worse=-2.0)
    search = search_views(answers, {"bad": "a", "worse": "b"}, uniform)
    assert search.names == ("rgb",) and search.taken == (None,)


def test_the_image_itself_under_another_name_is_no_gain() -> None:
    answers = made_answers(2, 100, rgb=3.0)
    twice = Answers(("rgb", "copy"), answers.logits.repeat(2, 1, 1), None, answers.labels)
    assert search_views(twice, {"copy": "a"}, uniform).names == ("rgb",)


def test_noise_is_not_taken_for_a_gain() -> None:
    """A view that is rgb with a little noise, on few images: often a bit better by chance, and hardly ever taken."""
    taken = 0
    for seed in range(40):
        answers = made_answers(seed, 40, rgb=3.0)
        noise = torch.from_numpy(np.random.default_rng(1000 + seed).normal(size=answers.logits.shape[1:])).float()
        logits = torch.stack([answers.logits[0], answers.logits[0] + 0.05 * noise])
        noisy = Answers(("rgb", "noisy"), logits, None, answers.labels)
        taken += search_views(noisy, {"noisy": "a"}, uniform).names != ("rgb",)
    assert taken <= 4


def test_views_are_judged_by_what_they_say_and_not_by_weights_that_confirm_themselves() -> None:
    """Weights by confidence in the common guess raise the NLL of useful views; they do not keep them out."""
    answers = made_answers(5, 600, rgb=3.0, other=3.0)

    def confident(_names: tuple[str, ...]) -> WeightRule:
        return WeightRule(confidence_weighting, 0.1)

    search = search_views(answers, {"other": "a"}, confident)
    assert search.names == search_views(answers, {"other": "a"}, uniform).names == ("rgb", "other")


def test_one_view_of_a_kind_and_no_more_than_fit_are_taken() -> None:
    answers = made_answers(3, 500, rgb=3.0, a=3.0, a_weak=3.1, b=3.0, c=3.0, d=3.0)
    kinds = {"a": "a", "a_weak": "a", "b": "b", "c": "c", "d": "d"}
    search = search_views(answers, kinds, uniform)
    assert len(search.names) == MOST_VIEWS
    assert len({kinds[name] for name in search.names[1:]}) == MOST_VIEWS - 1


@given(
    seed=st.integers(0, 10_000),
    margins=st.lists(st.floats(-2, 5), min_size=1, max_size=4),
    images=st.integers(2, 60),
    temperature=st.sampled_from([0.1, 1.0]),
)
@settings(deadline=None, max_examples=40)
def test_the_fused_teacher_is_never_worse_than_rgb(
    seed: int, margins: list[float], images: int, temperature: float
) -> None:
    names = [f"view{number}" for number in range(len(margins))]
    answers = made_answers(seed, images, rgb=2.0, **dict(zip(names, margins, strict=True)))

    def rule_of(_names: tuple[str, ...]) -> WeightRule:
        return WeightRule(confidence_weighting, temperature)

    search = search_views(answers, {name: name for name in names}, rule_of)
    shown = answers.select(search.names)
    weights = rule_of(search.names).weigh_label_free(None, shown.logits).double().numpy()
    fused = np.einsum("bv,vbk->bk", weights, shown.logits.double().numpy())
    plain, uniform_ = measured(answers, ("rgb",)), measured(answers, search.names)
    if len(search.names) > 1:
        assert uniform_[0] <= plain[0] - LEAST_GAIN + 1e-9
    assert uniform_[1] >= plain[1]
    assert (fused.argmax(axis=1) == answers.labels.numpy()).mean() >= plain[1]
