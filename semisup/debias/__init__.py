"""Debiasing: corrections of the logits from which pseudo-labels are computed.

A model that prefers some classes selects more pseudo-labels of these classes. By training on these pseudo-labels, it
prefers the classes even more. What an option stores from call to call is its memory, a dict of tensors. The functions
here are pure: they return a new memory and do not change the old one.
"""

from typing import Protocol

from torch import Tensor

from semisup.core.types import StateDict


class Debias(Protocol):
    """Interface of the options of the group `debias`, which correct the logits before pseudo-labels are computed."""

    @property
    def corrects(self) -> bool:
        """Whether the option changes any logits; False for `debias=none`."""
        ...

    @property
    def changes_loss(self) -> bool:
        """Whether `margin` is added to the logits in the loss on pseudo-labels, which must be a cross-entropy."""
        ...

    def init(self, num_classes: int) -> StateDict:
        """Build the initial memory for K classes."""
        ...

    def observe(self, logits: Tensor, memory: StateDict, *, whole: bool) -> StateDict:
        """Update the memory with predictions for U unlabeled images.

        Args:
            logits: (U, K) float, without correction.
            whole: True if these are all images of the unlabeled set (offline methods); False for a batch.
        """
        ...

    def shift(self, memory: StateDict) -> Tensor | None:
        """Return the values (K,) to add to the logits from which pseudo-labels are computed; None = add nothing."""
        ...

    def margin(self, memory: StateDict) -> Tensor | None:
        """Return the values (K,) to add to the logits in the loss on pseudo-labels; None = add nothing."""
        ...
