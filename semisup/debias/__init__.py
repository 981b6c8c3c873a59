"""Debiasing: corrections of the logits from which pseudo-labels are computed.

A model that prefers some classes selects more pseudo-labels of these classes, and learns from them to prefer them even
more. Debiasing is pure functions: what it learns is a `StateDict`, which it returns and never changes in place.
"""

from typing import Protocol

from torch import Tensor

from semisup.core.types import StateDict


class Debias(Protocol):
    """Interface of the settings of a correction of the logits from which pseudo-labels are computed."""

    @property
    def corrects(self) -> bool:
        """Whether the option changes any logits; False only for `debias=none`."""
        ...

    @property
    def changes_loss(self) -> bool:
        """Whether `margin` is added to the logits in the loss on pseudo-labels, which must then be a cross-entropy."""
        ...

    def init(self, num_classes: int) -> StateDict:
        """Build the initial memory for K classes."""
        ...

    def observe(self, logits: Tensor, memory: StateDict, *, whole: bool) -> StateDict:
        """Update the memory with predictions for unlabeled images.

        Args:
            logits: (U, K) float, not corrected.
            whole: whether these are all images of the unlabeled set (offline methods), not a batch.
        """
        ...

    def shift(self, memory: StateDict) -> Tensor | None:
        """Compute the shift of the logits from which pseudo-labels are computed, (K,) float; None = no shift."""
        ...

    def margin(self, memory: StateDict) -> Tensor | None:
        """Compute the shift of the logits in the loss on pseudo-labels, (K,) float; None = no shift."""
        ...
