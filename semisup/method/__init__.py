"""Methods: how pseudo-labels are made and used.

A method is settings and functions; what it learns is a Memory that it returns. The trainer owns the model,
the optimizer and the clock; a method says how many steps an epoch has, what the loss of a step is, and
what happens when an epoch was evaluated.
"""

from semisup.method._diagnostics import relabeled
from semisup.method._online import EveryStep, frozen_statistics, unlabeled_batch
from semisup.method._policy import PREFIX
from semisup.method._protocol import (
    SUMS,
    ByRounds,
    Learner,
    Losses,
    Method,
    Place,
    labeled_sums,
    seed_forward,
    sums_of,
    unlabeled_sums,
)

__all__ = [
    "PREFIX",
    "SUMS",
    "ByRounds",
    "EveryStep",
    "Learner",
    "Losses",
    "Method",
    "Place",
    "frozen_statistics",
    "labeled_sums",
    "relabeled",
    "seed_forward",
    "sums_of",
    "unlabeled_batch",
    "unlabeled_sums",
]
