"""Compute the depth of each parameter of a network: 0 in the first block, 1 in the second, and so on.

Modules are visited in the order in which they are declared. In torchvision's models and in the models of this program,
this is the order in which the forward pass uses them. A module is one of:

    entered     a container (Sequential, ModuleList, ModuleDict), or a module outside containers with more than half of
                all parameters: the network itself, a wrapped network, the encoder of a vision transformer. The modules
                inside it are visited.
    a block     every other module, such as a residual or transformer block, a convolution or a linear layer
    no block    a separate normalization layer (no parameter with two dimensions). Like a single parameter (class token,
                position embedding), it has the depth of the block before it, or 0 if there is none.

A model for which these rules are wrong implements `LayeredModel`.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from torch import nn
from torch.nn import Parameter

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@runtime_checkable
class LayeredModel(Protocol):
    """Interface of a network that declares the order of its blocks, and its classifier layers (head)."""

    def layer_depths(self) -> dict[Parameter, int] | None:
        """Return the depth of every parameter, 0 nearest to the input; None if the blocks have no order."""
        ...

    def head_parameters(self) -> list[Parameter]:
        """Return the parameters of the classifier layers."""
        ...


def head_parameters(model: nn.Module) -> list[Parameter]:
    """Return the parameters of a model's classifier layers: those that the model names, or those of its last block."""
    if isinstance(model, LayeredModel):
        return model.head_parameters()
    depths = _visit_blocks(model)
    last = max(depths.values())
    return [parameter for parameter, depth in depths.items() if depth == last]


def layer_depths(model: nn.Module) -> dict[Parameter, int] | None:
    """Compute the depth of every parameter, 0 at the input; None if the model declares that it has no depths."""
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
        half: half the number of parameters of the network.
        entry: whether the module is directly inside a container.
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
