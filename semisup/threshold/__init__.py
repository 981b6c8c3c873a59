"""Threshold policies: they decide which pseudo-labels are selected, and with which weight.

Policies are pure functions: what a policy learns is a `StateDict`, which it returns and never changes in place. A
policy has no access to the model. Offline methods call it with the whole unlabeled set, online methods with a batch; it
can distinguish these cases only by the number of images.
"""

from functools import cache
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict


class Policy(Protocol):
    """Interface of a threshold policy.

    uses_labeled: True if the policy needs `context.labeled`.
    """

    uses_labeled: ClassVar[bool]

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """Build the initial memory of the policy for K classes and N unlabeled images."""
        ...

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        """Compute the weights of U pseudo-labels: 0 = not selected, up to 1.

        Args:
            labels: pseudo-labels of U images.
            index: (U,) int64 in [0, N), the indices of these images.
            context: progress of the training, and predictions of labeled images.
            memory: memory that `init` or the previous `select` returned, on the device of the labels.

        Returns:
            The weights, and the memory for the next `select`.
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
            memory: memory that the same call of `select` returned.
        """
        ...


@runtime_checkable
class AligningPolicy(Protocol):
    """Interface of a threshold policy that aligns predicted probabilities with a target class distribution.

    Its pseudo-labels are the argmax of the aligned probabilities. Methods with soft targets use the aligned
    probabilities, so that the loss uses the same labels as the log.
    """

    def align(self, probabilities: Tensor, memory: StateDict) -> Tensor:
        """Align (U, K) predicted probabilities with the target class distribution.

        Rows of the result sum to 1.

        Args:
            memory: memory that `select` returned for the same images.
        """
        ...


@runtime_checkable
class LabelsFirstPolicy(Protocol):
    """Interface of a threshold policy with which the training starts with a phase on labels only.

    The policy observes the labeled loss of this phase, in which online methods do not use unlabeled images and do not
    call `select`.
    """

    def is_labels_only(self, epoch: int) -> bool:
        """Whether an epoch (counted from 0) belongs to the first phase of the training, on labels only."""
        ...

    def observe_labeled_loss(self, loss_sum: Tensor, images: Tensor, epoch: int, memory: StateDict) -> StateDict:
        """Update the policy's memory after a training step on labels only.

        Args:
            loss_sum: () float64, sum of the losses of the labeled batch.
            images: () float64, number of images in this batch.
            epoch: number of the epoch, from 0.
        """
        ...


def has_own_loss(policy: Policy) -> TypeGuard[PolicyWithLoss]:
    """Whether a threshold policy adds a term of its own to the unlabeled loss (FreeMatch does)."""
    return _implements(type(policy), PolicyWithLoss)


def aligns(policy: Policy) -> TypeGuard[AligningPolicy]:
    """Whether a threshold policy aligns the predicted class distribution (AdaMatch does)."""
    return _implements(type(policy), AligningPolicy)


def starts_with_labels(policy: Policy) -> TypeGuard[LabelsFirstPolicy]:
    """Whether the training starts with a phase on labels only because of the threshold policy (Dash)."""
    return _implements(type(policy), LabelsFirstPolicy)


@cache  # of a protocol, `isinstance` takes 11 microseconds: at every step 2 % of a step on features
def _implements(cls: type, protocol: Any) -> bool:
    return issubclass(cls, protocol)
