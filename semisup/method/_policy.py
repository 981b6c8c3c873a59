"""Weight pseudo-labels by the threshold policy and by `reject`, whose memory is a part of the method's memory.

In the method's memory, the names of the policy's tensors start with `policy/`. `training/rejection.py` adds the scores
of `reject`, which it computes for all unlabeled images at once.
"""

from typing import NamedTuple

from torch import Tensor

from semisup.core.inference import initial_temperature
from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.method._losses import initial_loss_memory
from semisup.method._protocol import LOG_SUMS, Position, StepLoss, TrainingContext
from semisup.reject import ACCEPTED, LIMIT, SCORE
from semisup.threshold import aligns, starts_with_labels

POLICY_PREFIX = "policy/"


def initial_memory(training: TrainingContext, size: int) -> StateDict:
    """Create the initial memory of a method: that of policy, loss and debiasing, and the temperature."""
    policy = _add_prefix(training.policy.init(training.num_classes, size))
    return policy | initial_loss_memory(training) | initial_temperature()


def policy_memory(memory: StateDict) -> StateDict:
    """Extract the threshold policy's memory from the method's memory, without the prefix `policy/` in names."""
    return {name.removeprefix(POLICY_PREFIX): value for name, value in memory.items() if name.startswith(POLICY_PREFIX)}


def apply_policy(
    training: TrainingContext, memory: StateDict, labels: PseudoLabels, index: Tensor, context: PolicyContext
) -> tuple[PolicyOutput, StateDict]:
    """Apply the threshold policy to pseudo-labels; return their weights and the updated memory of the method.

    The policy sees all images; then the weight of each rejected image becomes 0 (`semisup/reject`).
    """
    selection, policy = training.policy.select(labels, index, context, policy_memory(memory))
    if ACCEPTED in memory:
        weight = selection.weight * memory[ACCEPTED].index_select(0, index).to(selection.weight.dtype)
        selection = selection._replace(weight=weight)
    return selection, memory | _add_prefix(policy)


class Rejection(NamedTuple):
    """Scores of the N unlabeled images by `reject`, on the CPU, and the lowest score of an accepted image.

    score: (N,) float32
    limit: number
    """

    score: Tensor
    limit: float


def rejection(memory: StateDict) -> Rejection | None:
    """Return the scores that decided which images are rejected; None with `reject=none`."""
    return Rejection(memory[SCORE].cpu(), float(memory[LIMIT])) if SCORE in memory else None


def observe_labeled_loss(training: TrainingContext, memory: StateDict, loss: StepLoss, position: Position) -> StateDict:
    """Pass the labeled loss of a step to the threshold policy, if the policy uses it, as Dash does."""
    assert starts_with_labels(training.policy)
    loss_sum, images = (loss.sums[LOG_SUMS.index(name)] for name in ("labeled_loss", "labeled_images"))
    policy = training.policy.observe_labeled_loss(loss_sum, images, position.epoch, policy_memory(memory))
    return memory | _add_prefix(policy)


def align_probabilities(training: TrainingContext, memory: StateDict, probabilities: Tensor) -> Tensor:
    """Apply the threshold policy's distribution alignment to (U, K) predicted probabilities.

    Args:
        memory: memory after `apply_policy` for the same images.
        probabilities: (U, K), as predicted; returned unchanged unless the policy aligns distributions (AdaMatch does).
    """
    if not aligns(training.policy):
        return probabilities
    return training.policy.align(probabilities, policy_memory(memory))


def align_logits(training: TrainingContext, memory: StateDict, logits: Tensor) -> Tensor:
    """Apply the threshold policy's distribution alignment to predictions, and return (U, K) logits.

    The logits are returned unchanged unless the policy aligns distributions.
    """
    if not aligns(training.policy):
        return logits
    return align_probabilities(training, memory, logits.softmax(dim=1)).clamp(min=1e-30).log()


def _add_prefix(policy: StateDict) -> StateDict:
    return {POLICY_PREFIX + name: value for name, value in policy.items()}
