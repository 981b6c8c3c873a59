"""Threshold policies: which pseudo-labels count, and how much.

Pure: what a policy learns is a Memory that it returns and never changes in place. It knows no model,
and cannot tell whether it is asked about the whole pool (by rounds) or about a batch (at every step),
except by how many images it is asked about.
"""

from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict


class Policy(Protocol):
    """What every threshold policy does."""

    uses_labeled: ClassVar[bool]  # True: `context.labeled` must be given

    def init(self, num_classes: int, num_unlabeled: int) -> StateDict:
        """The memory before anything was seen, for K classes and N unlabeled images."""
        ...

    def select(
        self, labels: PseudoLabels, index: Tensor, context: PolicyContext, memory: StateDict
    ) -> tuple[PolicyOutput, StateDict]:
        """Weigh U pseudo-labels.

        Args:
            labels: of U images.
            index: (U,) int64 in [0, N), which images they are.
            context: how far the training is, and what the model says of labeled images.
            memory: from `init` or from the last `select`.
        """
        ...


@runtime_checkable
class PolicyWithLoss(Protocol):
    """A policy that adds a term of its own to the loss."""

    def penalty(self, strong_logits: Tensor, weight: Tensor, memory: StateDict) -> Tensor:
        """() float with gradient, to be added to the unlabeled loss.

        Args:
            strong_logits: (U, K), of the images that were weighed, as the student sees them in training.
            weight: (U,) of the Selection.
            memory: after that `select`.
        """
        ...
