"""The threshold policy's memory inside a method's memory, and the calls of the policy.

The policy's tensors have names that start with `policy/`.
"""

from torch import Tensor

from semisup.core.inference import initial_temperature
from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.method._protocol import LOG_SUMS, Position, StepLoss, TrainingContext
from semisup.threshold import aligns, starts_with_labels

POLICY_PREFIX = "policy/"


def initial_memory(training: TrainingContext, size: int) -> StateDict:
    """Build the initial memory of the policy for `size` unlabeled images, and of the labeler."""
    return _add_prefix(training.policy.init(training.num_classes, size)) | initial_temperature()


def policy_memory(memory: StateDict) -> StateDict:
    """Extract the policy's memory, under the policy's own names."""
    return {name.removeprefix(POLICY_PREFIX): value for name, value in memory.items() if name.startswith(POLICY_PREFIX)}


def apply_policy(
    training: TrainingContext, memory: StateDict, labels: PseudoLabels, index: Tensor, context: PolicyContext
) -> tuple[PolicyOutput, StateDict]:
    """Weight pseudo-labels by the policy and return the method's memory with the policy's update."""
    selection, policy = training.policy.select(labels, index, context, policy_memory(memory))
    return selection, memory | _add_prefix(policy)


def observe_labeled_loss(training: TrainingContext, memory: StateDict, loss: StepLoss, position: Position) -> StateDict:
    """Pass the labeled loss of a step of the policy's labels-only phase to the policy."""
    assert starts_with_labels(training.policy)
    loss_sum, images = (loss.sums[LOG_SUMS.index(name)] for name in ("labeled_loss", "labeled_images"))
    policy = training.policy.observe_labeled_loss(loss_sum, images, position.epoch, policy_memory(memory))
    return memory | _add_prefix(policy)


def align_probabilities(training: TrainingContext, memory: StateDict, probabilities: Tensor) -> Tensor:
    """Return the (U, K) probabilities that the policy's pseudo-labels are the argmax of.

    Args:
        memory: as returned by the `apply_policy` of the same images.
        probabilities: (U, K), as predicted; returned unchanged unless the policy aligns distributions.
    """
    if not aligns(training.policy):
        return probabilities
    return training.policy.align(probabilities, policy_memory(memory))


def align_logits(training: TrainingContext, memory: StateDict, logits: Tensor) -> Tensor:
    """Return (U, K) logits of the aligned probabilities; the same logits unless the policy aligns distributions."""
    if not aligns(training.policy):
        return logits
    return align_probabilities(training, memory, logits.softmax(dim=1)).clamp(min=1e-30).log()


def _add_prefix(policy: StateDict) -> StateDict:
    return {POLICY_PREFIX + name: value for name, value in policy.items()}
