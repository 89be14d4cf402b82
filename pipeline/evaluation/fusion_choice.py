"""What the recipe leaves open about views and weights, decided from the teachers' answers."""

from collections.abc import Callable, Mapping

from pipeline.evaluation.answers import Answers
from pipeline.evaluation.temperature import fit_temperature
from pipeline.evaluation.view_search import Search, search_views
from pipeline.tmkd.choice import FusionChoice
from pipeline.tmkd.settings import WeightingSettings
from pipeline.tmkd.views.settings import ViewSettings
from pipeline.tmkd.weight_rule import WeightRule, in_order, measure_scores
from pipeline.tmkd.weighting import ViewWeighting


def choose_fusion(
    settings: WeightingSettings,
    views: Mapping[str, ViewSettings],
    searches: bool,
    weighting_of: Callable[[tuple[str, ...]], ViewWeighting],
    train: Answers,
    validation: Answers,
) -> tuple[FusionChoice, Search | None]:
    """Decide on views, statistics of their scores, and temperature.

    Args:
        settings: the recipe's section `distill.weighting`.
        views: name → view, in addition to rgb: the recipe's, or all candidates.
        searches: whether the views are chosen among these.
        weighting_of: names of views, rgb first → what scores them.
        train: on a sample of training images, in rgb and all of `views`; gives the statistics, under the true labels,
            which guide the weights there.
        validation: the same on validation images; chooses views and temperature.

    Returns:
        The choice; and how the views were found, where they were searched.
    """
    statistics = None
    if settings.standardise:
        scores = weighting_of(train.names)(train.embeddings, train.logits, train.labels)
        statistics = measure_scores(scores, train.names)

    def rule_of(names: tuple[str, ...]) -> WeightRule:
        weighting, own = weighting_of(names), in_order(statistics, names)
        if settings.temperature != "auto":
            return WeightRule(weighting, settings.temperature, own)
        return WeightRule(weighting, fit_temperature(validation.select(names), weighting, own), own)

    search = None
    names: tuple[str, ...] = ("rgb", *views)
    if searches:
        search = search_views(validation, {name: view.kind for name, view in views.items()}, rule_of)
        names = search.names
    choice = FusionChoice(
        views={name: views[name] for name in names[1:]},
        temperature=rule_of(names).temperature,
        statistics=None if statistics is None else {name: statistics[name] for name in names},
    )
    return choice, search
