"""Methods of semi-supervised training: how pseudo-labels are computed and used.

A method is a frozen dataclass with settings. Its functions define the number of steps of an epoch, the loss of a step,
and the labeling of the unlabeled set. What a method stores from step to step is its memory, a dict of tensors; its
functions take the memory and return the new one.
"""

from semisup.method._diagnostics import pool_labeled_event
from semisup.method._losses import debias_shift, labeled_cross_entropy, pseudo_label_cross_entropy
from semisup.method._online import Batch, OnlineMethod, UnlabeledLoss, select_and_record, unlabeled_batch
from semisup.method._policy import POLICY_PREFIX
from semisup.method._protocol import (
    LOG_SUMS,
    Gated,
    HoldsAllImages,
    Method,
    OfflineMethod,
    Position,
    Prepares,
    StepLoss,
    TrainingContext,
    labeled_sums,
    labels_by_model,
    make_sums,
    seed_dropout,
    unlabeled_cross_entropy,
    unlabeled_sums,
)

__all__ = [
    "LOG_SUMS",
    "POLICY_PREFIX",
    "Batch",
    "Gated",
    "HoldsAllImages",
    "Method",
    "OfflineMethod",
    "OnlineMethod",
    "Position",
    "Prepares",
    "StepLoss",
    "TrainingContext",
    "UnlabeledLoss",
    "debias_shift",
    "labeled_cross_entropy",
    "labeled_sums",
    "labels_by_model",
    "make_sums",
    "pool_labeled_event",
    "pseudo_label_cross_entropy",
    "seed_dropout",
    "select_and_record",
    "unlabeled_batch",
    "unlabeled_cross_entropy",
    "unlabeled_sums",
]
