"""Average the last labelings of the unlabeled set (temporal ensemble, after arXiv 1610.02242).

    p_i = 1 / m * sum_(j = 0 .. m-1) p_i^(r-j),    m = min(teachers, r), r = number of this labeling, from 1

p_i^(r) are the probabilities of labeling r, from calibrated and debiased logits. In `noisy_student`, each labeling is
by a student that was trained from other initial weights. No further model is trained. The memory has the probabilities
of the last labelings, 4 * teachers * N * K bytes.
"""

import torch

from semisup.core.types import PseudoLabels, StateDict
from semisup.method._protocol import TrainingContext

TEACHERS = "teachers"
"""Name in the memory of the (m, N, K) float32 probabilities of the last labelings, oldest first."""


def initial_teachers(training: TrainingContext) -> StateDict:
    """Create the memory of the last labelings; empty with one teacher."""
    if training.teachers == 1:
        return {}
    return {TEACHERS: torch.zeros(0, len(training.unlabeled), training.num_classes)}


def mean_of_teachers(
    training: TrainingContext, memory: StateDict, labels: PseudoLabels
) -> tuple[PseudoLabels, StateDict]:
    """Average the present labeling with the ones before it, and store it for the next ones.

    Args:
        labels: pseudo-labels of all N unlabeled images; returned unchanged with one teacher.
    """
    if training.teachers == 1:
        return labels, memory
    last = torch.cat((memory[TEACHERS], labels.probabilities[None]))[-training.teachers :]
    mean = last.mean(dim=0)
    return PseudoLabels(mean, *mean.max(dim=1)), memory | {TEACHERS: last}
