"""One pass of random images through a network, which finds its classifier, its last map and its stages by their names.

Finds are proven on numbers: the classifier's output must be the logits, its input the spatial mean of the map.
"""

from collections import Counter
from dataclasses import dataclass

from torch import nn

from exporters.core.errors import UsageError
from exporters.student.taps import Call, pooled_map, record_calls
from pipeline.models.outputs import NetworkShape

OTHER_SIZE = (
    "Change data.image_size (for a teacher alone: teacher.visual.image_size), or give the network's own argument for it"
    " (img_size for many of timm's)."
)
"""What to do about a recipe's network that does not take images of its size."""

MOST_STAGES = 4
"""Of the deepest; what a net has above them is its stem."""


@dataclass(frozen=True)
class Probed:
    """What a probe found; modules by their dotted names in the network.

    Attributes:
        shape: see `NetworkShape`.
        classifier: the linear layer that gives the logits; None for a net without one.
        feature_map: the module whose output is pooled into the classifier; None for a net without one.
        stages: the modules of `shape.stages`, shallow to deep.
    """

    shape: NetworkShape
    classifier: str | None
    feature_map: str | None
    stages: tuple[str, ...]


def probe(network: nn.Module, image_size: int, classifier: str | None = None, section: str = "network") -> Probed:
    """Run two random images through a network, which stays as it is.

    Args:
        network: maps normalised images `[B, 3, S, S]` to logits `[B, K]`.
        image_size: S.
        classifier: the name of its classifier; None to search for it.
        section: of the recipe, for messages.

    Raises:
        UsageError: the network does not take such images or gives no logits, or `classifier` names no linear layer
            that gives them.
        UnavailableError: there is not memory enough for it.
    """
    recorded = record_calls(network, image_size, f"{section}.model", remedy=OTHER_SIZE)
    logits, calls, found = recorded.logits, recorded.calls, recorded.classifiers
    if classifier is not None:
        found = [(name, features) for name, features in found if name == classifier]
        if not found:
            raise _not_the_classifier(network, classifier, section)
    classes = logits.shape[1]
    if not found:
        stages = _stages(calls, None)
        shapes = tuple(shape for _name, shape in stages)
        shape = NetworkShape(classes, classes, None, has_cam=False, has_classifier=False, stages=shapes)
        return Probed(shape, None, None, tuple(name for name, _shape in stages))
    name, features = found[-1]
    pooled = pooled_map(calls, features)
    stages = _stages(calls, pooled)
    shape = NetworkShape(
        classes,
        features.shape[1],
        None if pooled is None else (pooled.shape[2], pooled.shape[3]),
        has_cam=pooled is not None,
        stages=tuple(shape for _name, shape in stages),
    )
    return Probed(shape, name, pooled.name if pooled else None, tuple(stage for stage, _shape in stages))


def _not_the_classifier(network: nn.Module, classifier: str, section: str) -> UsageError:
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear) and name}
    if classifier not in dict(network.named_modules()):
        problem = "there is no such module"
    elif classifier not in layers:
        problem = f"it is no linear layer but a {type(network.get_submodule(classifier)).__name__}"
    else:
        problem = "what it gives are not the logits"
    last = [f"{name} ({layer.in_features} → {layer.out_features})" for name, layer in layers.items()][-5:]
    return UsageError(
        f"{section}.classifier: {classifier!r} is not the network's classifier: {problem}",
        remedy=f"Its last linear layers: {', '.join(last) or 'none'}. null searches for the classifier.",
    )


def _stages(calls: list[Call], last: Call | None) -> list[tuple[str, tuple[int, int, int]]]:
    """For each size on the way down, the last map of that size that is no inner part of the step to the next size.

    Maps are square, as the probe's images are, larger than one pixel, and given by modules that are called once; so
    token grids `[B, h, w, C]` are none. A net that goes on with tokens `[B, N, C]` behind its maps has no stages, nor
    has one with maps of a single size.

    Args:
        calls: of all modules, in the order in which they ended.
        last: the map that is pooled into the classifier, which is preferred at its own size.
    """
    times = Counter(call.name for call in calls)
    maps = [call for call in calls if _side(call.shape) > 1 and times[call.name] == 1]
    sides: list[int] = []
    for call in reversed(maps):  # from the back, because a block may look at a small copy of its map on the way
        if not sides or _side(call.shape) > sides[0]:
            sides.insert(0, _side(call.shape))
    if len(sides) < 2 or any(len(call.shape) == 3 for call in calls[calls.index(maps[-1]) :]):
        return []
    found: list[tuple[str, tuple[int, int, int]]] = []
    for side, following in zip(sides, [*sides[1:], 0], strict=True):
        steps = tuple(f"{call.name}." for call in maps if (_side(call.taken), _side(call.shape)) == (side, following))
        of_this_size = [call for call in maps if _side(call.shape) == side]
        outer = [call for call in of_this_size if not call.name.startswith(steps)] or of_this_size
        chosen = last if last is not None and not following and _side(last.shape) == side else outer[-1]
        found.append((chosen.name, (chosen.shape[1], side, side)))
    return found[-MOST_STAGES:]


def _side(shape: tuple[int, ...]) -> int:
    """The side of a square map; 0 for anything else."""
    return shape[2] if len(shape) == 4 and shape[2] == shape[3] else 0
