"""Losses: variants of the cross-entropy that treat frequent and rare classes differently.

A loss adds a value for each class to the logits, or multiplies the cross-entropy of an image by the weight of its
class. These values and weights depend on the number of labeled images of each class, and every method uses them for
labeled images. A loss can also add values to the logits in the cross-entropy on pseudo-labels. What it stores for this
from call to call is its memory, a dict of tensors; functions return a new memory and do not change the old one.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from semisup.core.losses import ClassTerms
from semisup.core.types import PolicyOutput, StateDict


class Loss(Protocol):
    """Interface of the settings of a loss.

    without_unlabeled: setting that has no effect without unlabeled images -> its value in the config of a control (the
        same run without unlabeled images)
    """

    without_unlabeled: ClassVar[Mapping[str, object]]

    def labeled(self, counts: Tensor) -> ClassTerms:
        """Compute the value to add to the logit of each class, and the weight of each class.

        Args:
            counts: (K,) float, number of labeled images of each class.
        """
        ...


@runtime_checkable
class PseudoLabelLoss(Protocol):
    """Interface of a loss that can also change the cross-entropy on pseudo-labels."""

    @property
    def changes_unlabeled(self) -> bool:
        """Whether the loss on pseudo-labels with these settings differs from the plain cross-entropy."""
        ...

    def init(self, num_classes: int) -> StateDict:
        """Build the initial memory of the loss for K classes."""
        ...

    def observe(self, selection: PolicyOutput, memory: StateDict, *, whole: bool) -> StateDict:
        """Update the memory after a selection of pseudo-labels.

        Args:
            selection: output of the threshold policy.
            whole: True if the selection is from the whole unlabeled set (offline methods); False for a batch.
        """
        ...

    def unlabeled_shift(self, counts: Tensor, memory: StateDict) -> Tensor:
        """Compute the values (K,) to add to the logits in the cross-entropy on pseudo-labels.

        Args:
            counts: (K,) float, number of labeled images of each class.
        """
        ...


def changes_unlabeled(loss: Loss) -> TypeGuard[PseudoLabelLoss]:
    """Whether the loss on pseudo-labels with these settings differs from the plain cross-entropy."""
    return _implements(type(loss)) and bool(getattr(loss, "changes_unlabeled", False))


@cache  # of a protocol, `issubclass` takes microseconds at every step
def _implements(cls: type[Any]) -> bool:
    return all(callable(getattr(cls, name, None)) for name in ("init", "observe", "unlabeled_shift"))
