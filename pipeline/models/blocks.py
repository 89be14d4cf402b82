"""The blocks that a network repeats."""

from collections import Counter

from torch import nn


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """The largest modules with parts of their own whose class the network has at least twice, such as residual blocks.

    Compiling one compiles all that are alike; of a sharded network, one at a time is whole.
    """
    kinds = Counter(type(module) for module in network.modules())
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    found: list[nn.Module] = []

    def search(module: nn.Module) -> None:
        for child in module.children():
            has_parts = next(child.children(), None) is not None
            if has_parts and not isinstance(child, containers) and kinds[type(child)] > 1:
                found.append(child)
            else:
                search(child)

    search(network)
    return found
