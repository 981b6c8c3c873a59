"""Build networks whose tensors have no data, to read sizes, shapes and names."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class SkipWeightInit(TorchFunctionMode):
    """Context in which the weights of new networks are not initialized.

    No random number is drawn for them.
    """

    DRAWS = (Tensor.normal_, Tensor.uniform_, Tensor.erfinv_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in self.DRAWS else func(*args, **(kwargs or {}))


def meta_network(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on the meta device, where tensors have shapes but no data.

    Some constructors read values of tensors (`tensor.item()`, as for stochastic depth rates, or for the widths of
    torchvision's regnets). They cannot run on the meta device. Such a network is built on the CPU, without initializing
    weights, and then moved.
    """
    try:
        with torch.device("meta"):
            return build()
    except RuntimeError:  # or NotImplementedError; a wrong setting raises again below
        with torch.device("cpu"), torch.random.fork_rng(devices=[]), SkipWeightInit():
            return build().to("meta")


def state_bytes(network: nn.Module) -> int:
    """Compute the number of bytes of all weights and buffers of a network."""
    return sum(value.nbytes for value in network.state_dict().values())
