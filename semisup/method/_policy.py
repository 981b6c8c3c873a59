"""Compute the weights of pseudo-labels with the threshold policy and the option `reject`.

Both have their own entries in the method's memory; their names start with `policy/` or `reject/`.
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
    """Create the initial memory of the threshold policy, of `loss` and of `debias`, with the calibration temperature.

    Args:
        size: number of images to which the policy can be applied: all unlabeled images, and also the labeled images if
            they are used as unlabeled ones too.
    """
    policy = _add_prefix(training.policy.init(training.num_classes, size))
    return policy | initial_loss_memory(training) | initial_temperature()


def policy_memory(memory: StateDict) -> StateDict:
    """Extract the threshold policy's memory from the method's memory, without the prefix `policy/` of the names."""
    return {name.removeprefix(POLICY_PREFIX): value for name, value in memory.items() if name.startswith(POLICY_PREFIX)}


def apply_policy(
    training: TrainingContext, memory: StateDict, labels: PseudoLabels, index: Tensor, context: PolicyContext
) -> tuple[PolicyOutput, StateDict]:
    """Apply the threshold policy to pseudo-labels, and then set the weight of images that `reject` rejects to 0.

    Args:
        memory: the method's memory.
        labels: pseudo-labels of U images.
        index: (U,) int64, indices of these images: [0, N) for the N unlabeled images; labeled images follow from N on.
        context: further input of the policy, such as predictions for labeled images.

    Returns:
        The policy's output, and the new memory of the method.
    """
    selection, policy = training.policy.select(labels, index, context, policy_memory(memory))
    if ACCEPTED in memory:
        weight = selection.weight * memory[ACCEPTED].index_select(0, index).to(selection.weight.dtype)
        selection = selection._replace(weight=weight)
    return selection, memory | _add_prefix(policy)


class Rejection(NamedTuple):
    """Scores and rejection limit of the option `reject`.

    score: (N,) float32 on the CPU, score of each unlabeled image
    limit: the lowest score of an accepted image
    """

    score: Tensor
    limit: float


def rejection(memory: StateDict) -> Rejection | None:
    """Return the scores and the rejection limit in the method's memory; None with `reject=none`."""
    return Rejection(memory[SCORE].cpu(), float(memory[LIMIT])) if SCORE in memory else None


def observe_labeled_loss(training: TrainingContext, memory: StateDict, loss: StepLoss, position: Position) -> StateDict:
    """Update the threshold policy's memory by the loss of the labeled images, after a step on labels only.

    The policy must have a first phase on labels only, as Dash has.

    Returns:
        The new memory of the method.
    """
    assert starts_with_labels(training.policy)
    loss_sum, images = (loss.sums[LOG_SUMS.index(name)] for name in ("labeled_loss", "labeled_images"))
    policy = training.policy.observe_labeled_loss(loss_sum, images, position.epoch, policy_memory(memory))
    return memory | _add_prefix(policy)


def align_probabilities(training: TrainingContext, memory: StateDict, probabilities: Tensor) -> Tensor:
    """Apply the threshold policy's distribution alignment to predicted probabilities.

    Args:
        memory: memory after `apply_policy` for the same images.
        probabilities: (U, K).

    Returns:
        (U, K) aligned probabilities; `probabilities` itself if the policy does not align distributions.
    """
    if not aligns(training.policy):
        return probabilities
    return training.policy.align(probabilities, policy_memory(memory))


def align_logits(training: TrainingContext, memory: StateDict, logits: Tensor) -> Tensor:
    """Apply the threshold policy's distribution alignment to (U, K) logits.

    Returns:
        (U, K) logits of the aligned probabilities; `logits` itself if the policy does not align distributions.
    """
    if not aligns(training.policy):
        return logits
    return align_probabilities(training, memory, logits.softmax(dim=1)).clamp(min=1e-30).log()


def _add_prefix(policy: StateDict) -> StateDict:
    return {POLICY_PREFIX + name: value for name, value in policy.items()}
