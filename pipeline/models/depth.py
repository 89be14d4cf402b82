"""The depth of a network's parameters, for learning rates that fall from the classifier to the first layers.

Nothing but the order of modules is used, which is the order of execution in the networks of torchvision, timm and the
CIFAR family, and the stages that `pipeline.models.probe` found.
"""

from collections.abc import Sequence

from torch import nn

_RUNS = 4
"""Groups that the blocks of a net without stages are divided into: as many as a net of convolutions has stages."""


def layer_groups(network: nn.Module, classifier: str | None, stages: Sequence[str]) -> list[list[nn.Parameter]]:
    """The parameters of a network but those of its classifier, in groups from its first layers to its last.

    A group is a stage, the first with the stem, the last with what follows up to the classifier. A net without stages
    (a vision transformer) is divided into four runs of its blocks: the members of the list of modules that holds most
    parameters. A parameter outside all of these, such as a position embedding, belongs where its module begins.

    Args:
        network: the whole network.
        classifier: the name of the layer that gives the logits; None: the last module with a matrix of weights.
        stages: the modules that give the stages' maps, shallow to deep.

    Returns:
        One group or more; groups without parameters are left out.
    """
    positions = {name: position for position, name in enumerate(dict(network.named_modules()))}
    owners: dict[nn.Parameter, str] = {}
    for name, parameter in network.named_parameters():
        owners[parameter] = name.rpartition(".")[0]
    if classifier is None:
        classifier = next((owners[each] for each in reversed(owners) if each.ndim > 1), "")
    body = {each: owner for each, owner in owners.items() if not _is_below(owner, classifier)}

    def end(name: str) -> int:
        """The position of the last module in a module."""
        return max(position for other, position in positions.items() if _is_below(other, name))

    names = list(stages) if len(stages) > 1 else _runs_of_blocks(network, classifier)
    cuts = sorted(end(name) for name in names[:-1])
    groups: list[list[nn.Parameter]] = [[] for _ in range(len(cuts) + 1)]
    for parameter, owner in body.items():
        groups[sum(cut < positions[owner] for cut in cuts)].append(parameter)
    return [group for group in groups if group]


def _is_below(name: str, module: str) -> bool:
    """Whether a module is another one, or in it."""
    return name == module or name.startswith(f"{module}.")


def _runs_of_blocks(network: nn.Module, classifier: str) -> list[str]:
    """The last block of each run of blocks."""
    best: list[str] = []
    most = 0
    for name, module in network.named_modules():
        if not isinstance(module, nn.Sequential | nn.ModuleList):
            continue
        children = {f"{name}.{key}" if name else key: child for key, child in module.named_children()}
        blocks = {
            key: sum(each.numel() for each in child.parameters())
            for key, child in children.items()
            if not _is_below(key, classifier) and any(True for _ in child.parameters())
        }
        if len(blocks) > 1 and sum(blocks.values()) > most:
            best, most = list(blocks), sum(blocks.values())
    runs = min(_RUNS, len(best))
    return [best[len(best) * (run + 1) // runs - 1] for run in range(runs)]
