"""Build networks whose tensors have no data, to read sizes, shapes and names."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class SkipWeightInit(TorchFunctionMode):
    """Context manager; networks that are built in its body get no random initial weights."""

    DRAWS = (Tensor.normal_, Tensor.uniform_, Tensor.erfinv_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in self.DRAWS else func(*args, **(kwargs or {}))


def meta_network(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on torch's meta device, where tensors have shapes but no data.

    Args:
        build: function that builds the network on the default device.
    """
    # A constructor that reads values of tensors, as those of torchvision's regnets, cannot run on the meta device. Such
    # a network is built on the CPU, without initializing weights, and then moved.
    try:
        with torch.device("meta"):
            return build()
    except RuntimeError:  # or NotImplementedError; a wrong setting raises again below
        with torch.device("cpu"), torch.random.fork_rng(devices=[]), SkipWeightInit():
            return build().to("meta")


def state_bytes(network: nn.Module) -> int:
    """Compute the number of bytes of all weights and buffers of a network."""
    return sum(value.nbytes for value in network.state_dict().values())
