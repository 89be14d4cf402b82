"""The figures of what the networks say about a sample of test images."""

from collections.abc import Sequence
from functools import partial

from pipeline.explain.evidence import Evidence
from pipeline.report.page.figures.attention import attention_maps
from pipeline.report.page.figures.features import logit_distribution, logit_maps, scatter
from pipeline.report.page.figures.robustness import corruption_lines
from pipeline.report.page.figures.views import gallery, weights_by_class
from pipeline.report.page.steps import Sketch


def figures_of_evidence(evidence: Evidence, classes: Sequence[str]) -> list[Sketch]:
    """As many as the networks give."""
    sketches = []
    labels, rows = evidence.labels, evidence.shown
    titles = [classes[label] for label in labels[rows]]
    chosen = {label: classes[label] for label in evidence.chosen}
    if evidence.views is not None:
        views = evidence.views
        sketches += [
            Sketch("view-gallery", partial(gallery, views.pictures, views.weights[rows], views.names, titles)),
            Sketch("view-weights", partial(weights_by_class, views.weights, labels, views.names, chosen)),
        ]
    networks = {each.title: each for each in evidence.networks.values()}
    maps = {title: each.maps for title, each in networks.items() if each.maps is not None}
    if maps:
        answers = {title: networks[title].answers[rows] for title in maps}
        named = {title: [classes[answer] for answer in found] for title, found in answers.items()}
        right = {title: found == labels[rows] for title, found in answers.items()}
        sketches.append(
            Sketch("attention-maps", partial(attention_maps, evidence.pictures, titles, maps, named, right))
        )
    logits = {title: each.logits for title, each in networks.items()}
    features = {title: each.features for title, each in networks.items()}
    sketches += [
        Sketch("features", partial(scatter, features, labels, chosen)),
        Sketch("mean-logits", partial(logit_maps, logits, labels, chosen)),
        Sketch("logit-distribution", partial(logit_distribution, logits, labels)),
    ]
    if evidence.corrupted:
        sketches.append(Sketch("robustness", partial(corruption_lines, evidence.corrupted)))
    return sketches
