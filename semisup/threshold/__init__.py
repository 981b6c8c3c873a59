"""Threshold policies: which pseudo-labels are selected, and with which weight.

Policies are pure: what a policy learns is a `StateDict` that it returns and never changes in place. A policy has no
access to the model. It is called with the whole unlabeled set (offline methods) or with a batch of it (online
methods), and can tell them apart only by the number of images.
"""

from functools import cache
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict


class Policy(Protocol):
    """Interface of a threshold policy.

    uses_labeled: True if `context.labeled` must be given.
    """

    uses_labeled: ClassVar[bool]

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory for K classes and N unlabeled images."""
        ...

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        """Weight U pseudo-labels.

        Args:
            labels: pseudo-labels of U images.
            index: (U,) int64 in [0, N), the images' indices.
            context: progress of the training, and predictions of labeled images.
            memory: as returned by `init` or by the previous `select`, on the device of the labels.

        Returns:
            The weights, and the memory for the next `select`.
        """
        ...


@runtime_checkable
class PolicyWithLoss(Protocol):
    """A policy that adds its own term to the unlabeled loss."""

    def penalty(self, strong_logits: Tensor, weight: Tensor, memory: StateDict) -> Tensor:
        """Compute the term, () float with gradient.

        Args:
            strong_logits: (U, K) logits of the weighted images in the unlabeled loss.
            weight: (U,), of the `PolicyOutput`.
            memory: as returned by that `select`.
        """
        ...


@runtime_checkable
class AligningPolicy(Protocol):
    """A policy whose pseudo-labels are the argmax of aligned instead of predicted probabilities.

    Methods with soft targets use the aligned probabilities, so that the loss and the log have the same labels.
    """

    def align(self, probabilities: Tensor, memory: StateDict) -> Tensor:
        """Align (U, K) predicted probabilities; rows sum to 1.

        Args:
            memory: as returned by the `select` of the same images.
        """
        ...


@runtime_checkable
class LabelsFirstPolicy(Protocol):
    """A policy whose training starts with a phase on labels only, whose loss it observes.

    During this phase online methods skip unlabeled images and do not call `select`.
    """

    def is_labels_only(self, epoch: int) -> bool:
        """Whether `epoch` (from 0) belongs to the labels-only phase."""
        ...

    def observe_labeled_loss(self, loss_sum: Tensor, images: Tensor, epoch: int, memory: StateDict) -> StateDict:
        """Update the memory after a step of the labels-only phase.

        Args:
            loss_sum: () float64, sum of the losses of the labeled batch.
            images: () float64, their number.
            epoch: number of the epoch, from 0.
        """
        ...


def has_own_loss(policy: Policy) -> TypeGuard[PolicyWithLoss]:
    """Whether a policy adds its own term to the unlabeled loss."""
    return _implements(type(policy), PolicyWithLoss)


def aligns(policy: Policy) -> TypeGuard[AligningPolicy]:
    """Whether the pseudo-labels of a policy are those of aligned probabilities."""
    return _implements(type(policy), AligningPolicy)


def starts_with_labels(policy: Policy) -> TypeGuard[LabelsFirstPolicy]:
    """Whether the training of a policy starts with a phase on labels only."""
    return _implements(type(policy), LabelsFirstPolicy)


@cache  # of a protocol, `isinstance` takes 11 microseconds: at every step 2 % of a step on features
def _implements(cls: type, protocol: Any) -> bool:
    return issubclass(cls, protocol)
