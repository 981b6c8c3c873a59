"""Calls of the threshold policy, whose memory is a part of the method's memory.

In the method's memory, the names of the policy's tensors start with `policy/`.
"""

from torch import Tensor

from semisup.core.inference import initial_temperature
from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.method._protocol import LOG_SUMS, Position, StepLoss, TrainingContext
from semisup.threshold import aligns, starts_with_labels

POLICY_PREFIX = "policy/"


def initial_memory(training: TrainingContext, size: int) -> StateDict:
    """Build the initial memory of the policy for `size` unlabeled images, and the initial temperature."""
    return _add_prefix(training.policy.init(training.num_classes, size)) | initial_temperature()


def policy_memory(memory: StateDict) -> StateDict:
    """Extract the policy's memory from the method's memory; names no longer start with `policy/`."""
    return {name.removeprefix(POLICY_PREFIX): value for name, value in memory.items() if name.startswith(POLICY_PREFIX)}


def apply_policy(
    training: TrainingContext, memory: StateDict, labels: PseudoLabels, index: Tensor, context: PolicyContext
) -> tuple[PolicyOutput, StateDict]:
    """Weight pseudo-labels by the policy; also return the method's memory after the policy's update."""
    selection, policy = training.policy.select(labels, index, context, policy_memory(memory))
    return selection, memory | _add_prefix(policy)


def observe_labeled_loss(training: TrainingContext, memory: StateDict, loss: StepLoss, position: Position) -> StateDict:
    """Pass the labeled loss of a step to a policy that is in its labels-only phase."""
    assert starts_with_labels(training.policy)
    loss_sum, images = (loss.sums[LOG_SUMS.index(name)] for name in ("labeled_loss", "labeled_images"))
    policy = training.policy.observe_labeled_loss(loss_sum, images, position.epoch, policy_memory(memory))
    return memory | _add_prefix(policy)


def align_probabilities(training: TrainingContext, memory: StateDict, probabilities: Tensor) -> Tensor:
    """Return the (U, K) probabilities whose argmax is the policy's pseudo-label.

    Args:
        memory: memory after `apply_policy` for the same images.
        probabilities: (U, K), as predicted; returned unchanged unless the policy aligns distributions.
    """
    if not aligns(training.policy):
        return probabilities
    return training.policy.align(probabilities, policy_memory(memory))


def align_logits(training: TrainingContext, memory: StateDict, logits: Tensor) -> Tensor:
    """Return (U, K) logits of the aligned probabilities.

    The logits are returned unchanged unless the policy aligns distributions.
    """
    if not aligns(training.policy):
        return logits
    return align_probabilities(training, memory, logits.softmax(dim=1)).clamp(min=1e-30).log()


def _add_prefix(policy: StateDict) -> StateDict:
    return {POLICY_PREFIX + name: value for name, value in policy.items()}
