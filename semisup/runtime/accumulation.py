"""Compute a training batch in several parts, one after another, to save memory for activations.

The loss is computed on the logits of the whole batch, as without parts, so methods and policies need no code for it.
The forward pass keeps the images of each part and discards the activations. The backward pass computes each part again
and adds its gradient to those of the parts before it (GradCache, arXiv 2101.06983). The sum is the gradient of the
whole batch up to rounding. A step takes one more forward pass than without parts.

BatchNorm normalizes each part by itself, with its own mean and variance, and counts each part once in its running
statistics. With fixed statistics, or without BatchNorm, the parts do not affect each other.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from semisup.core.batch_norm import repeat_forward
from semisup.errors import SettingError
from semisup.runtime.torchrun_env import world_size


def check_accumulation(parts: int, *, compile: bool) -> None:
    """Check that `train.accumulate` (batches in parts) can be combined with the other settings.

    Raises:
        SettingError: several parts are combined with compilation or with several processes.
    """
    if parts > 1 and compile:
        raise SettingError("train.accumulate", parts, "not supported with compile=true")
    if parts > 1 and world_size() > 1:
        raise SettingError(
            "train.accumulate",
            parts,
            f"supports only one process, but torchrun started {world_size()}, which divide the batch "
            "already; use train.accumulate=1",
        )


def in_parts(model: nn.Module, forward: Callable[[Tensor], Tensor], parts: int) -> Callable[[Tensor], Tensor]:
    """Wrap the forward function of a model, so that it computes a training batch in parts.

    In eval mode it computes the whole batch. Parts have nearly equal sizes and at least two rows each.

    Args:
        forward: the forward function of the model, (n, ...) rows -> (n, K) logits.
        parts: largest number of parts.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), repeat_forward(model)

    def divided(rows: Tensor) -> Tensor:
        count = min(parts, len(rows) // 2)
        if count < 2 or not model.training:
            return forward(rows)
        pieces = rows.tensor_split(count)
        if not torch.is_grad_enabled():
            return torch.cat([forward(each) for each in pieces])
        return torch.cat([checkpoint(forward, each, use_reentrant=False, context_fn=contexts) for each in pieces])

    return divided
