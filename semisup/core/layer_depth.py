"""Depth of each parameter of a network: 0 in the first block, one more in each block that follows.

Modules are visited in the order in which they are declared, which is the order of use in torchvision's models and ours:

    traversed   containers (Sequential, ModuleList, ModuleDict), and modules outside containers that hold more than half
                of all parameters: the network itself, a wrapped network, the encoder of a vision transformer
    a block     every other module: a residual or transformer block, a convolution, a linear layer
    no block    a separate normalization layer (no parameter with two dimensions) and a single parameter (class token,
                position embedding) have the depth of the block before them, or of the first block

A model that knows better implements `LayeredModel`.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn import Parameter

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@runtime_checkable
class LayeredModel(Protocol):
    """A network that knows its blocks and its head."""

    def layer_depths(self) -> dict[Parameter, int] | None:
        """Return the depth of every parameter, from 0 at the input; None if the network has no such grouping."""
        ...

    def head_parameters(self) -> list[Parameter]:
        """Return the parameters of the classifier layers."""
        ...


def head_parameters(model: nn.Module) -> list[Parameter]:
    """Return the parameters of the classifier layers: for most models those of the last block."""
    if isinstance(model, LayeredModel):
        return model.head_parameters()
    depths = _visit_blocks(model)
    last = max(depths.values())
    return [parameter for parameter, depth in depths.items() if depth == last]


def layer_depths(model: nn.Module) -> dict[Parameter, int] | None:
    """Compute the depth of every parameter, from 0 at the input; None for a `LayeredModel` without a grouping."""
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
    """Yield the parameters of each part of a module, in order, and whether the part is a block.

    Args:
        half: half of the number of parameters of the network.
        entry: whether the module is an entry of a container.
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
