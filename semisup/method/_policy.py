"""A threshold policy's memory inside a method's: its tensors under names that start with `policy/`."""

from torch import Tensor

from semisup.core.inference import first_temperature
from semisup.core.types import Context, Labels, Memory, Selection
from semisup.method._protocol import Learner

PREFIX = "policy/"


def first_memory(learner: Learner, size: int) -> Memory:
    """What a method remembers of its policy for `size` images, and of the labeler, before anything was seen."""
    return _named(learner.policy.init(learner.num_classes, size)) | first_temperature()


def policy_memory(memory: Memory) -> Memory:
    return {name.removeprefix(PREFIX): value for name, value in memory.items() if name.startswith(PREFIX)}


def ask(learner: Learner, memory: Memory, labels: Labels, index: Tensor, context: Context) -> tuple[Selection, Memory]:
    """The policy's word on these labels, and the method's memory with what the policy learned."""
    selection, policy = learner.policy.select(labels, index, context, policy_memory(memory))
    return selection, memory | _named(policy)


def _named(policy: Memory) -> Memory:
    return {PREFIX + name: value for name, value in policy.items()}
