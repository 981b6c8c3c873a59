"""How deep in a network each parameter sits: 0 in its first block, one more in each that follows.

A network is walked in the order in which it declares its modules, which torchvision's and ours do in the order of use:

    opened      containers (Sequential, ModuleList, ModuleDict), and what is in no container and holds more than half of
                all parameters: the network itself, the network in a wrapper, the encoder of a vision transformer
    a block     everything else: a residual or transformer block, a convolution, a linear layer
    no block    a norm of its own (nothing in it has two dimensions) and a loose parameter (class token, position
                embedding) go with the block before them, or with the first
"""

from collections.abc import Iterator

from torch import nn
from torch.nn import Parameter

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def layer_depths(model: nn.Module) -> dict[Parameter, int]:
    """The depth of every parameter, from 0 at the input to that of the last layer."""
    half = _size(model) / 2
    found: dict[Parameter, int] = {}
    depth = -1
    for parameters, block in _iter_blocks(model, half, entry=False):
        if block and any(each.ndim > 1 for each in parameters):
            depth += 1
        for each in parameters:
            found.setdefault(each, max(depth, 0))
    return found


def _iter_blocks(module: nn.Module, half: float, *, entry: bool) -> Iterator[tuple[list[Parameter], bool]]:
    """Parameters in order, a block's together, and whether they are a block's; `entry`: the module is a container's."""
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
