"""Context managers that change how BatchNorm updates its running statistics in training mode."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def freeze_bn_stats(model: nn.Module) -> Iterator[None]:
    """Within this context, keep the running statistics of BatchNorm unchanged in training mode."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    tracked = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, before in zip(norms, tracked, strict=True):
            norm.track_running_stats = before


@contextmanager
def repeat_forward(model: nn.Module) -> Iterator[None]:
    """Within this context, a forward pass can be repeated without a second update of BatchNorm's running statistics.

    BatchNorm normalizes by the statistics of the batch, so the repeated pass computes the same values.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    # a momentum of 0 instead of `freeze_bn_stats`: autograd must save the same tensors as in the first pass
    momenta = [norm.momentum for norm in norms]
    counts = [None if norm.num_batches_tracked is None else norm.num_batches_tracked.clone() for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            if norm.num_batches_tracked is not None and count is not None:
                norm.num_batches_tracked.copy_(count)
