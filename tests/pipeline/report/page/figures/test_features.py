import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from pipeline.report.page.figures.features import (
    in_plane,
    logit_distribution,
    logit_maps,
    mean_logits,
    scatter,
    true_and_best_other,
)
from tests.pipeline.report.page.figures.reading import texts

LABELS = np.repeat([0, 1, 2], 8)
LOGITS = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32) + 3 * np.eye(3, dtype=np.float32)[LABELS]
NAMES = {0: "ant", 1: "bee"}


def test_same_features_give_the_same_places_and_groups_stay_apart() -> None:
    features = np.repeat(np.eye(2) * 5, 12, axis=0) + np.random.default_rng(0).normal(scale=0.05, size=(24, 2))
    places = in_plane(features)
    assert np.array_equal(places, in_plane(features))
    one, other = places[:12], places[12:]
    spread = max(np.linalg.norm(each - each.mean(axis=0), axis=1).max() for each in (one, other))
    assert np.linalg.norm(one.mean(axis=0) - other.mean(axis=0)) > spread


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_few_images_have_places_too(count: int) -> None:
    assert in_plane(np.random.default_rng(0).normal(size=(count, 3))).shape == (count, 2)


def test_only_chosen_classes_are_drawn() -> None:
    found = texts(scatter({"student": LOGITS, "base": LOGITS}, LABELS, NAMES))
    assert {"student", "base", "ant", "bee"} <= set(found)


def test_mean_logits_leave_the_images_own_mean_out() -> None:
    shifted = LOGITS + np.arange(24, dtype=np.float32)[:, None]  # the same probabilities
    assert mean_logits(shifted, LABELS, [0, 2]) == pytest.approx(mean_logits(LOGITS, LABELS, [0, 2]), abs=1e-5)
    by_hand = [
        [np.mean([row[j] - row.mean() for row in LOGITS[i == LABELS].astype(float)]) for j in (0, 2)] for i in (0, 2)
    ]
    assert mean_logits(LOGITS, LABELS, [0, 2]) == pytest.approx(np.array(by_hand), abs=1e-5)


def test_best_other_is_never_the_true_class() -> None:
    own, best = true_and_best_other(LOGITS, LABELS)
    for row, label in enumerate(LABELS):
        centred = LOGITS[row].astype(float) - LOGITS[row].mean()
        assert own[row] == pytest.approx(centred[label], abs=1e-5)
        assert best[row] == pytest.approx(max(centred[k] for k in range(3) if k != label), abs=1e-5)


def test_maps_and_distributions_name_every_network() -> None:
    logits = {"student": LOGITS, "teacher": LOGITS}
    right = round(100 * float((LOGITS.argmax(axis=1) == LABELS).mean()))
    assert {"student", "teacher", "ant", "bee"} <= set(texts(logit_maps(logits, LABELS, NAMES)))
    assert {f"student: right {right} %", "true class", "best other"} <= set(texts(logit_distribution(logits, LABELS)))
