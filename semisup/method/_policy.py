"""A threshold policy's memory inside a method's: its tensors under names that start with `policy/`."""

from torch import Tensor

from semisup.core.inference import initial_temperature
from semisup.core.types import PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.method._protocol import TrainingContext

POLICY_PREFIX = "policy/"


def initial_memory(training: TrainingContext, size: int) -> StateDict:
    """What a method remembers of its policy for `size` images, and of the labeler, before anything was seen."""
    return _named(training.policy.init(training.num_classes, size)) | initial_temperature()


def policy_memory(memory: StateDict) -> StateDict:
    return {name.removeprefix(POLICY_PREFIX): value for name, value in memory.items() if name.startswith(POLICY_PREFIX)}


def apply_policy(
    training: TrainingContext, memory: StateDict, labels: PseudoLabels, index: Tensor, context: PolicyContext
) -> tuple[PolicyOutput, StateDict]:
    """The policy's word on these labels, and the method's memory with what the policy learned."""
    selection, policy = training.policy.select(labels, index, context, policy_memory(memory))
    return selection, memory | _named(policy)


def _named(policy: StateDict) -> StateDict:
    return {POLICY_PREFIX + name: value for name, value in policy.items()}
