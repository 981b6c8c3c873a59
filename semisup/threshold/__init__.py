"""Threshold policies: they compute the weight of each pseudo-label; weight 0 means that it is not selected.

Offline methods call a policy with the whole unlabeled set, online methods with a batch. A policy keeps its values from
call to call in a memory, a dict of tensors. Its functions are pure: they return a new memory and do not change the old
one.
"""

from functools import cache
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict


class Policy(Protocol):
    """Interface of a threshold policy.

    uses_labeled: whether `select` needs predictions for labeled images.
    """

    uses_labeled: ClassVar[bool]

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory of the policy for K classes and N unlabeled images."""
        ...

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        """Compute the weights of U pseudo-labels, in [0, 1]; 0 = not selected.

        Args:
            labels: pseudo-labels of U images.
            index: (U,) int64 in [0, N), the indices of these images.
            context: progress of the training, and predictions for labeled images.
            memory: the memory that `init` or the previous call of `select` returned, on the device of the labels.

        Returns:
            The weights, and the memory for the next call of `select`.
        """
        ...


@runtime_checkable
class PolicyWithLoss(Protocol):
    """Interface of a threshold policy that adds a term of its own to the unlabeled loss."""

    def penalty(self, strong_logits: Tensor, weight: Tensor, memory: StateDict) -> Tensor:
        """Compute the policy's own term of the unlabeled loss, () float with gradient.

        Args:
            strong_logits: (U, K) logits of the images in the unlabeled loss.
            weight: (U,), the weights of these images that `select` returned.
            memory: the memory that `select` returned together with these weights.
        """
        ...


@runtime_checkable
class AligningPolicy(Protocol):
    """Interface of a threshold policy that aligns predicted probabilities with a target class distribution.

    The pseudo-label of an image is the argmax of its aligned probabilities.
    """

    def align(self, probabilities: Tensor, memory: StateDict) -> Tensor:
        """Align predicted probabilities with the target class distribution.

        Args:
            probabilities: (U, K), the predicted probabilities.
            memory: the memory that `select` returned for the same images.

        Returns:
            (U, K) aligned probabilities; each row sums to 1.
        """
        ...


@runtime_checkable
class LabelsFirstPolicy(Protocol):
    """Interface of a threshold policy that requires a first phase of training on labels only.

    In this phase, online methods train without unlabeled images, and call `observe_labeled_loss` instead of `select`.
    """

    def is_labels_only(self, epoch: int) -> bool:
        """Whether an epoch (counted from 0) belongs to the first phase, on labels only."""
        ...

    def observe_labeled_loss(self, loss_sum: Tensor, images: Tensor, epoch: int, memory: StateDict) -> StateDict:
        """Update the policy's memory after a training step on labels only.

        Args:
            loss_sum: () float64, sum of the losses of the labeled images in the batch.
            images: () float64, number of these images.
            epoch: number of the epoch, from 0.
            memory: the policy's memory before this step.
        """
        ...


def has_own_loss(policy: Policy) -> TypeGuard[PolicyWithLoss]:
    """Whether a threshold policy adds a term of its own to the unlabeled loss (FreeMatch does)."""
    return _implements(type(policy), PolicyWithLoss)


def aligns(policy: Policy) -> TypeGuard[AligningPolicy]:
    """Whether a threshold policy aligns the predicted class distribution (AdaMatch does)."""
    return _implements(type(policy), AligningPolicy)


def starts_with_labels(policy: Policy) -> TypeGuard[LabelsFirstPolicy]:
    """Whether a threshold policy requires a first phase of training on labels only (Dash does)."""
    return _implements(type(policy), LabelsFirstPolicy)


@cache  # of a protocol, `isinstance` takes 11 microseconds: at every step 2 % of a step on features
def _implements(cls: type, protocol: Any) -> bool:
    return issubclass(cls, protocol)
