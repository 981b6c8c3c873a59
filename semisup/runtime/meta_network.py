"""Networks without data in their tensors: for sizes, shapes and names."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class SkipWeightInit(TorchFunctionMode):
    """Context in which weights are not initialized, and no random number is drawn for them."""

    DRAWS = (Tensor.normal_, Tensor.uniform_, Tensor.erfinv_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in self.DRAWS else func(*args, **(kwargs or {}))


def meta_network(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on the meta device, where tensors have shapes and no data.

    A constructor that reads values of tensors (`tensor.item()`, as for stochastic depth rates, or torchvision's regnets
    for their widths) cannot run there, and runs on the CPU without initializing weights.
    """
    try:
        with torch.device("meta"):
            return build()
    except RuntimeError:  # with NotImplementedError; a wrong setting raises again below
        with torch.device("cpu"), torch.random.fork_rng(devices=[]), SkipWeightInit():
            return build().to("meta")


def state_bytes(network: nn.Module) -> int:
    """Bytes of all weights and buffers of a network."""
    return sum(value.nbytes for value in network.state_dict().values())
