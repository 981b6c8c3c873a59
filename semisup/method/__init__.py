"""Methods: how pseudo-labels are computed and used.

A method is a frozen dataclass of settings with functions; what it learns is a `StateDict` that it returns. The
training loop owns the model, the optimizer and the step counter. A method defines how many steps an epoch has, the
loss of a step and what follows an evaluation.
"""

from semisup.method._diagnostics import pool_labeled_event
from semisup.method._online import OnlineMethod, unlabeled_batch
from semisup.method._policy import POLICY_PREFIX
from semisup.method._protocol import (
    LOG_SUMS,
    HoldsAllImages,
    Method,
    OfflineMethod,
    Position,
    StepLoss,
    TrainingContext,
    labeled_sums,
    labels_by_model,
    make_sums,
    seed_dropout,
    unlabeled_sums,
)

__all__ = [
    "LOG_SUMS",
    "POLICY_PREFIX",
    "HoldsAllImages",
    "Method",
    "OfflineMethod",
    "OnlineMethod",
    "Position",
    "StepLoss",
    "TrainingContext",
    "labeled_sums",
    "labels_by_model",
    "make_sums",
    "pool_labeled_event",
    "seed_dropout",
    "unlabeled_batch",
    "unlabeled_sums",
]
