import numpy as np
import pytest

from pipeline.evaluation.answers import Answers
from pipeline.evaluation.temperature import KEPT, TEMPERATURES, fit_temperature
from pipeline.tmkd.weighting import confidence_weighting, uniform_weighting
from tests.pipeline.evaluation.answers import made_answers


def log_softmax(values: np.ndarray, axis: int = -1) -> np.ndarray:
    return values - np.log(np.exp(values).sum(axis=axis, keepdims=True))


def guided_nll(answers: Answers, temperature: float) -> float:
    """By numpy, with weights from the visual teacher's confidence in the true class."""
    logits, labels = answers.logits.double().numpy(), answers.labels.numpy()
    rows = np.arange(len(labels))
    scores = log_softmax(logits)[:, rows, labels]
    weights = np.exp(log_softmax(scores / temperature, axis=0))
    return float(-log_softmax((weights[..., None] * logits).sum(axis=0))[rows, labels].mean())


@pytest.mark.parametrize("seed", range(4))
def test_the_gentlest_weights_that_keep_most_of_the_gain_are_taken(seed: int) -> None:
    answers = made_answers(seed, 300, rgb=2.0, edge=1.5, blur=1.0)
    found = fit_temperature(answers, confidence_weighting, None)
    uniform = guided_nll(answers, 1e9)
    gains = {temperature: uniform - guided_nll(answers, temperature) for temperature in TEMPERATURES}
    enough = KEPT * max(gains.values())
    assert gains[found] >= enough and found < TEMPERATURES[-1]
    assert all(gains[gentler] < enough for gentler in TEMPERATURES if gentler > found)


def test_weights_that_gain_nothing_become_uniform() -> None:
    answers = made_answers(0, 50, rgb=2.0, edge=2.0)
    assert fit_temperature(answers, uniform_weighting, None) == TEMPERATURES[-1]
    alone = answers.select(("rgb",))
    assert fit_temperature(alone, confidence_weighting, None) == TEMPERATURES[-1]
