"""Losses: variants of the cross-entropy that treat frequent and rare classes differently.

A loss adds a shift (K,) to the logits before the cross-entropy, or multiplies the cross-entropy by a weight (K,) of the
class. Both depend on the number of labeled images of each class. The labeled loss of every method uses them, and so
does the control of a run. A loss can also shift the logits in the cross-entropy on pseudo-labels.

Losses are pure functions: what a loss learns is a `StateDict`, which it returns and never changes in place.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from semisup.core.losses import ClassTerms
from semisup.core.types import PolicyOutput, StateDict


class Loss(Protocol):
    """Interface of the settings of a loss.

    without_unlabeled: settings that have no effect without unlabeled images -> value that the control has for them
    """

    without_unlabeled: ClassVar[Mapping[str, object]]

    def labeled(self, counts: Tensor) -> ClassTerms:
        """Compute the shift and the weight of each class from its number of labeled images, (K,) float."""
        ...


@runtime_checkable
class PseudoLabelLoss(Protocol):
    """Interface of a loss that can also change the cross-entropy on pseudo-labels."""

    @property
    def changes_unlabeled(self) -> bool:
        """Whether these settings change the loss on pseudo-labels."""
        ...

    def init(self, num_classes: int) -> StateDict:
        """Build the initial memory of the loss for K classes."""
        ...

    def observe(self, selection: PolicyOutput, memory: StateDict, *, whole: bool) -> StateDict:
        """Update the memory after a selection of pseudo-labels.

        Args:
            whole: whether the selection is of the whole unlabeled set (offline methods), not of a batch.
        """
        ...

    def unlabeled_shift(self, counts: Tensor, memory: StateDict) -> Tensor:
        """Compute the shift of the logits in the cross-entropy on pseudo-labels, (K,) float.

        Args:
            counts: (K,) float, number of labeled images of each class.
        """
        ...


def changes_unlabeled(loss: Loss) -> TypeGuard[PseudoLabelLoss]:
    """Whether the settings of a loss change the cross-entropy on pseudo-labels."""
    return _implements(type(loss)) and bool(getattr(loss, "changes_unlabeled", False))


@cache  # of a protocol, `issubclass` takes microseconds at every step
def _implements(cls: type[Any]) -> bool:
    return all(callable(getattr(cls, name, None)) for name in ("init", "observe", "unlabeled_shift"))
