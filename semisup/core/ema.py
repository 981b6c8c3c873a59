"""Compute an exponential moving average (EMA) of a model's weights (Mean Teacher, arXiv 1703.01780).

    ema_t = d_t * ema_(t-1) + (1 - d_t) * student_t    after every optimizer step t = 1, 2, ..., parameters only
    d_t   = d, or with warmup min(d, t / (t + 9))

Without warmup the share of the random initial weights in the average is multiplied by d at each step: about a third is
left after 1 / (1 - d) steps. With warmup the average covers about the last ninth of the steps, until d is reached
(TensorFlow's `num_updates`).

Buffers (statistics of BatchNorm) are averages already, so they are copied from the student, as in FixMatch. But they
describe the activations of the student, which differ from the activations of the averaged model while the weights
change fast. With `statistics` the buffers are averaged too (EMAN, arXiv 2101.08482, section 3.2). All tensors of a type
are updated by one fused call.
"""

import copy

import torch
from torch import Tensor, nn


def start_average(student: nn.Module) -> nn.Module:
    """Copy the student as the initial average; the copy's parameters require no gradient."""
    return copy.deepcopy(student).requires_grad_(False)


def decay_at(decay: float, update: int, *, warmup: bool) -> float:
    """Compute the decay d_t of an update.

    Updates are counted t = 1, 2, ... from the start of the average.
    """
    return min(decay, update / (update + 9)) if warmup else decay


@torch.no_grad()
def update_average(average: nn.Module, student: nn.Module, decay: float, *, statistics: bool) -> None:
    """Update `average` in place after an optimizer step of the student.

    Args:
        decay: d_t in [0, 1).
        statistics: average the statistics of BatchNorm too, instead of copying them.
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
