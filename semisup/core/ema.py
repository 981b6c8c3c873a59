"""Compute an exponential moving average (EMA) of a model's weights (Mean Teacher, arXiv 1703.01780).

    ema_t = d_t * ema_(t-1) + (1 - d_t) * student_t    after every optimizer step t = 1, 2, ...
    d_t   = d, the decay; or, with warmup, min(d, t / (t + 9))

The warmup reduces the share of the random initial weights in the average. Buffers (statistics of BatchNorm) are copied
from the student, as in FixMatch, or averaged like the parameters (EMAN, arXiv 2101.08482, section 3.2).
"""

import copy

import torch
from torch import Tensor, nn


def start_average(student: nn.Module) -> nn.Module:
    """Copy the student as the initial EMA model; the parameters of the copy require no gradient."""
    return copy.deepcopy(student).requires_grad_(False)


def decay_at(decay: float, update: int, *, warmup: bool) -> float:
    """Compute the decay d_t of the EMA: `decay`, or with warmup min(decay, t / (t + 9)).

    Args:
        update: t, the number of the optimizer step: 1, 2, ...
    """
    return min(decay, update / (update + 9)) if warmup else decay


@torch.no_grad()
def update_average(average: nn.Module, student: nn.Module, decay: float, *, statistics: bool) -> None:
    """Update the EMA model `average` in place after an optimizer step of the student.

    Args:
        decay: factor of the previous average, in [0, 1).
        statistics: average the statistics of BatchNorm too, instead of copying them from the student.
    """
    averaged: list[tuple[Tensor, Tensor]] = list(zip(average.parameters(), student.parameters(), strict=True))
    buffers = list(zip(average.buffers(), student.buffers(), strict=True))
    means = [pair for pair in buffers if pair[0].is_floating_point()]
    counters = [pair for pair in buffers if not pair[0].is_floating_point()]
    if statistics:
        averaged += means
        means = []
    torch._foreach_lerp_([own for own, _ in averaged], [other for _, other in averaged], 1 - decay)
    for copied in (means, counters):  # a GPU copies a list of several types one tensor at a time
        if copied:
            torch._foreach_copy_([own for own, _ in copied], [other for _, other in copied])
