"""Compute a training batch in several parts, one after another, to save memory for activations.

The forward pass discards the activations of each part. The loss is computed on the logits of the whole batch. The
backward pass computes the activations of each part again and adds up the gradients of the parts (GradCache, arXiv
2101.06983). The sum equals the gradient of the whole batch up to rounding. So each step computes two forward passes.

BatchNorm uses the mean and variance of each part, and updates its running statistics once for each part.
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
    """Check that the number of parts (`train.accumulate`) can be combined with the other settings.

    Raises:
        SettingError: there are several parts, and also compilation or several processes.
    """
    if parts > 1 and compile:
        allowed = "is not supported with compile=true; use compile=false or train.accumulate=1"
        raise SettingError("train.accumulate", parts, allowed)
    if parts > 1 and world_size() > 1:
        raise SettingError(
            "train.accumulate",
            parts,
            f"supports only one process, but torchrun started {world_size()}, which divide the batch "
            "already; use train.accumulate=1",
        )


def in_parts(model: nn.Module, forward: Callable[[Tensor], Tensor], parts: int) -> Callable[[Tensor], Tensor]:
    """Wrap the forward function of a model, so that it computes a training batch in parts of nearly equal size.

    A part has at least two rows. In eval mode, the whole batch is computed at once.

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
