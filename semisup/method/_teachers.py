"""Average the probabilities of the latest labelings of the unlabeled set (temporal ensemble, after arXiv 1610.02242).

    p_i = 1 / m * sum_(j = 0 .. m-1) p_i^(r-j),    m = min(teachers, r), r = number of this labeling, from 1

p_i^(r) are the probabilities of image i in labeling r, from calibrated and debiased logits. `teachers` is the setting
`labeler.teachers`. The stored probabilities of N images and K classes take 4 * teachers * N * K bytes of memory.
"""

import torch

from semisup.core.types import PseudoLabels, StateDict
from semisup.method._protocol import TrainingContext

TEACHERS = "teachers"
"""Name of the tensor with the probabilities of the latest m labelings, (m, N, K) float32, oldest first."""


def initial_teachers(training: TrainingContext) -> StateDict:
    """Create the entry of the memory that stores the probabilities of the last `labeler.teachers` labelings, empty at
    first.

    With labeler.teachers=1 there is no such entry: the result is {}.
    """
    if training.teachers == 1:
        return {}
    return {TEACHERS: torch.zeros(0, len(training.unlabeled), training.num_classes)}


def mean_of_teachers(
    training: TrainingContext, memory: StateDict, labels: PseudoLabels
) -> tuple[PseudoLabels, StateDict]:
    """Average the probabilities of the present labeling with those of the previous ones, and store the present ones.

    Args:
        memory: the method's memory.
        labels: pseudo-labels of all N unlabeled images.

    Returns:
        The averaged pseudo-labels (with labeler.teachers=1, `labels` itself), and the new memory of the method.
    """
    if training.teachers == 1:
        return labels, memory
    last = torch.cat((memory[TEACHERS], labels.probabilities[None]))[-training.teachers :]
    mean = last.mean(dim=0)
    return PseudoLabels(mean, *mean.max(dim=1)), memory | {TEACHERS: last}
