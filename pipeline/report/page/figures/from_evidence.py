"""The figures of what the networks say about a sample of test images."""

from collections.abc import Iterator, Sequence

from pipeline.explain.evidence import Evidence
from pipeline.report.page.figures.attention import attention_maps
from pipeline.report.page.figures.drawing import Drawn
from pipeline.report.page.figures.features import logit_distribution, logit_maps, scatter
from pipeline.report.page.figures.robustness import corruption_lines
from pipeline.report.page.figures.views import gallery, weights_by_class


def figures_of_evidence(evidence: Evidence, classes: Sequence[str]) -> Iterator[Drawn]:
    """As many as the networks give."""
    labels, rows = evidence.labels, evidence.shown
    titles = [classes[label] for label in labels[rows]]
    chosen = {label: classes[label] for label in evidence.chosen}
    if evidence.views is not None:
        views = evidence.views
        yield gallery(views.pictures, views.weights[rows], views.names, titles)
        yield weights_by_class(views.weights, labels, views.names, chosen)
    networks = {each.title: each for each in evidence.networks.values()}
    maps = {title: each.maps for title, each in networks.items() if each.maps is not None}
    if maps:
        answers = {title: networks[title].answers[rows] for title in maps}
        yield attention_maps(
            evidence.pictures,
            titles,
            maps,
            {title: [classes[answer] for answer in found] for title, found in answers.items()},
            {title: found == labels[rows] for title, found in answers.items()},
        )
    logits = {title: each.logits for title, each in networks.items()}
    yield scatter({title: each.features for title, each in networks.items()}, labels, chosen)
    yield logit_maps(logits, labels, chosen)
    yield logit_distribution(logits, labels)
    if evidence.corrupted:
        yield corruption_lines(evidence.corrupted)
