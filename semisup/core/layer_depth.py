"""Compute the depth of each parameter of a network: 0 in the first block, 1 in the second, and so on.

Modules are visited in the order of their declaration. A module is one of:

    a container   Sequential, ModuleList, ModuleDict; or any other module with more than half of all parameters, unless
                  it is a direct child of a Sequential, ModuleList or ModuleDict. Its children are visited.
    a block       every other module, such as a residual or transformer block, a convolution or a linear layer

A separate normalization layer and a parameter outside the blocks have the depth of the block before them, or 0 if there
is none. A model for which these rules are wrong implements `LayeredModel`.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn import Parameter

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@runtime_checkable
class LayeredModel(Protocol):
    """Interface of a network that defines the depths of its parameters and the parameters of its classifier (head)."""

    def layer_depths(self) -> dict[Parameter, int] | None:
        """Return the depth of every parameter, 0 in the first block; None if the blocks have no order."""
        ...

    def head_parameters(self) -> list[Parameter]:
        """Return the parameters of the classifier layers."""
        ...


def head_parameters(model: nn.Module) -> list[Parameter]:
    """Return the parameters of a model's classifier layers.

    A model that implements `LayeredModel` names them itself; in all other models they are those of the last block.
    """
    if isinstance(model, LayeredModel):
        return model.head_parameters()
    depths = _visit_blocks(model)
    last = max(depths.values())
    return [parameter for parameter, depth in depths.items() if depth == last]


def layer_depths(model: nn.Module) -> dict[Parameter, int] | None:
    """Compute the depth of every parameter, 0 in the first block; None if the blocks have no order."""
    return model.layer_depths() if isinstance(model, LayeredModel) else _visit_blocks(model)


def _visit_blocks(model: nn.Module) -> dict[Parameter, int]:
    half = _size(model) / 2
    depths: dict[Parameter, int] = {}
    depth = -1
    for parameters, block in _iter_blocks(model, half, entry=False):
        if block and any(each.ndim > 1 for each in parameters):
            depth += 1
        for each in parameters:
            depths.setdefault(each, max(depth, 0))
    return depths


def _iter_blocks(module: nn.Module, half: float, *, entry: bool) -> Iterator[tuple[list[Parameter], bool]]:
    """Yield (parameters, is_block) for each block inside a module and for each container's own parameters, in order.

    Args:
        half: half the number of parameters of the whole network.
        entry: whether the module is a direct child of a Sequential, ModuleList or ModuleDict.
    """
    container = isinstance(module, CONTAINERS)
    trunk = not entry and any(True for _ in module.children()) and _size(module) > half
    if not (container or trunk):
        yield list(module.parameters()), True
        return
    yield list(module.parameters(recurse=False)), False
    for child in module.children():
        yield from _iter_blocks(child, half, entry=container)


def _size(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())
