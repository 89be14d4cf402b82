import pytest
import torch

from pipeline.evaluation.fusion_choice import choose_fusion
from pipeline.evaluation.temperature import TEMPERATURES, fit_temperature
from pipeline.tmkd.choice import FusionChoice
from pipeline.tmkd.settings import WeightingSettings
from pipeline.tmkd.views.settings import EdgeView, FlipView, ZoomView
from pipeline.tmkd.weighting import ViewWeighting, confidence_weighting
from tests.pipeline.evaluation.answers import made_answers

VIEWS = {"edge": EdgeView(), "flip": FlipView(), "zoom": ZoomView()}
TRAIN = made_answers(1, 300, rgb=4.0, edge=-1.0, flip=4.5, zoom=4.0)
VALIDATION = made_answers(2, 300, rgb=4.0, edge=-1.0, flip=4.5, zoom=4.0)


def weighting(_names: tuple[str, ...]) -> ViewWeighting:
    return confidence_weighting


def test_what_the_recipe_settles_stays_as_it_is() -> None:
    settings = WeightingSettings(by="teacher_confidence", temperature=0.3)
    choice, search = choose_fusion(settings, VIEWS, False, weighting, TRAIN, VALIDATION)
    assert choice == FusionChoice(views=VIEWS, temperature=0.3) and search is None


def test_statistics_are_those_of_training_images_under_their_labels() -> None:
    settings = WeightingSettings(by="teacher_confidence", standardise=True)
    choice, _ = choose_fusion(settings, VIEWS, False, weighting, TRAIN, VALIDATION)
    assert choice.statistics is not None and list(choice.statistics) == ["rgb", *VIEWS]
    scores = TRAIN.logits.double().log_softmax(-1)[:, torch.arange(300), TRAIN.labels]
    for row, found in zip(scores, choice.statistics.values(), strict=True):
        assert (found.mean, found.spread) == pytest.approx(
            (row.mean().item(), row.std(unbiased=False).item()), rel=1e-5
        )


def test_temperature_is_fitted_for_the_chosen_views() -> None:
    settings = WeightingSettings(by="teacher_confidence", temperature="auto")
    choice, search = choose_fusion(settings, VIEWS, True, weighting, TRAIN, VALIDATION)
    assert search is not None and choice.names == search.names
    assert set(choice.views) == {"flip", "zoom"} and choice.statistics is None
    fitted = fit_temperature(VALIDATION.select(choice.names), confidence_weighting, None)
    assert choice.temperature == fitted and fitted in TEMPERATURES


def test_statistics_of_views_that_were_not_chosen_are_left_out() -> None:
    settings = WeightingSettings(by="teacher_confidence", standardise=True)
    choice, _ = choose_fusion(settings, VIEWS, True, weighting, TRAIN, VALIDATION)
    assert choice.statistics is not None and tuple(choice.statistics) == choice.names
