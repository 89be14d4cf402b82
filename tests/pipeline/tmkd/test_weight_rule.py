import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tmkd.choice import ScoreStatistics
from pipeline.tmkd.weight_rule import WeightRule, in_order, measure_scores, standardise
from pipeline.tmkd.weighting import confidence_weighting, label_free_labels, uniform_weighting, view_weights

NAMES = ("rgb", "edge", "blur")


def drawn(seed: int, images: int = 9, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(3, images, classes)) * 3 + random.normal(size=(3, 1, 1))
    return torch.from_numpy(logits).float(), torch.from_numpy(random.integers(0, classes, images))


@given(seed=st.integers(0, 10_000), shift=st.floats(-20, 20), factor=st.floats(0.1, 10))
@settings(deadline=None, max_examples=40)
def test_a_view_that_scores_higher_in_general_is_not_preferred(seed: int, shift: float, factor: float) -> None:
    """Whatever is added to the scores of one view or multiplies them, standardised weights stay the same."""
    scores = torch.from_numpy(np.random.default_rng(seed).normal(size=(40, 3)))
    other = scores.clone()
    other[:, 1] = other[:, 1] * factor + shift

    def weights(values: torch.Tensor) -> torch.Tensor:
        statistics = in_order(measure_scores(values, NAMES), NAMES)
        assert statistics is not None
        return view_weights(standardise(values, statistics), 0.7)

    torch.testing.assert_close(weights(other), weights(scores), atol=1e-6, rtol=0)


def test_standardised_scores_have_mean_0_and_spread_1() -> None:
    scores = torch.from_numpy(np.random.default_rng(1).normal(size=(50, 3)) * [1, 20, 0.1] + [5, -3, 0])
    statistics = measure_scores(scores, NAMES)
    assert {name: (round(found.mean, 9), round(found.spread, 9)) for name, found in statistics.items()} == {
        name: (round(column.mean(), 9), round(column.std(), 9))
        for name, column in zip(NAMES, scores.numpy().T, strict=True)
    }
    values = standardise(scores, in_order(statistics, NAMES)).numpy()
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(values.std(axis=0), 1, atol=1e-12)


def test_equal_scores_have_no_spread_to_divide_by() -> None:
    logits, labels = drawn(0)
    scores = uniform_weighting(None, logits, labels)
    statistics = measure_scores(scores, NAMES)
    assert statistics["rgb"] == ScoreStatistics(mean=0.0, spread=1.0)
    rule = WeightRule(uniform_weighting, 0.1, in_order(statistics, NAMES))
    torch.testing.assert_close(rule.weigh(None, logits, labels), torch.full((9, 3), 1 / 3))


@given(seed=st.integers(0, 10_000), temperature=st.floats(0.05, 20))
@settings(deadline=None, max_examples=20)
def test_without_statistics_the_scores_are_weighed_as_they_are(seed: int, temperature: float) -> None:
    logits, labels = drawn(seed)
    rule = WeightRule(confidence_weighting, temperature)
    expected = view_weights(confidence_weighting(None, logits, labels), temperature)
    assert torch.equal(rule.weigh(None, logits, labels), expected)
    neutral = WeightRule(confidence_weighting, temperature, (ScoreStatistics(mean=0.0, spread=1.0),) * 3)
    assert torch.equal(neutral.weigh(None, logits, labels), expected)
    guessed = label_free_labels(logits)
    assert torch.equal(rule.weigh_label_free(None, logits), rule.weigh(None, logits, guessed))


def test_statistics_follow_the_order_of_the_views() -> None:
    statistics = {name: ScoreStatistics(mean=float(place), spread=1.0) for place, name in enumerate(NAMES)}
    assert in_order(statistics, ("blur", "rgb")) == (statistics["blur"], statistics["rgb"])
    assert in_order(None, NAMES) is None


def test_scores_of_embeddings_are_standardised_whatever_labels_they_are_for() -> None:
    logits, labels = drawn(3)
    embeddings = torch.randn(3, 9, 5, generator=torch.Generator().manual_seed(1))  # one number for each class

    def by_embedding(given: torch.Tensor | None, _: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        assert given is not None
        return given[:, torch.arange(9), wanted].T

    statistics = tuple(
        ScoreStatistics(mean=mean, spread=spread) for mean, spread in ((1.0, 2.0), (-3.0, 0.5), (0.0, 4.0))
    )
    rule = WeightRule(by_embedding, 0.7, statistics)
    guessed = torch.from_numpy(logits.numpy().mean(axis=0).argmax(axis=1))
    for found, wanted in (
        (rule.weigh(embeddings, logits, labels), labels),
        (rule.weigh_label_free(embeddings, logits), guessed),
    ):
        scores = embeddings.numpy()[:, np.arange(9), wanted.numpy()].T
        powers = np.exp((scores - [1.0, -3.0, 0.0]) / [2.0, 0.5, 4.0] / 0.7)
        np.testing.assert_allclose(found.numpy(), powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)


def test_spread_of_next_to_nothing_is_1_and_one_above_is_kept() -> None:
    for spread, expected in ((0.9e-6, 1.0), (1.1e-6, 1.1e-6), (0.5, 0.5)):
        scores = torch.tensor([[-spread], [spread]], dtype=torch.float64)
        assert measure_scores(scores, ("rgb",))["rgb"].spread == pytest.approx(expected)
    with pytest.raises(ValueError, match="zip"):
        measure_scores(torch.zeros(2, 3), ("rgb",))
