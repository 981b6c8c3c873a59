"""Compute an exponential moving average (EMA) of a model's weights (Mean Teacher, arXiv 1703.01780).

    ema_t = d_t * ema_(t-1) + (1 - d_t) * student_t    after every optimizer step t = 1, 2, ...
    d_t   = d, the decay; or, with warmup, min(d, t / (t + 9))

The warmup reduces the share of the random initial weights in the average. Buffers (statistics of BatchNorm) are copied
from the student, as in FixMatch, or averaged like the parameters (EMAN, arXiv 2101.08482, section 3.2).
"""

import copy
from typing import NamedTuple

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


class AveragedTensors(NamedTuple):
    """Tensors that an EMA update writes (in the EMA model) and reads (in the student), as pairs of lists.

    averaged: (tensors of the EMA model, the corresponding tensors of the student), to be averaged
    copied: pairs of the same form, to be copied from the student: one for floating-point tensors, one for integers
    """

    averaged: tuple[list[Tensor], list[Tensor]]
    copied: list[tuple[list[Tensor], list[Tensor]]]


def averaged_tensors(average: nn.Module, student: nn.Module, *, statistics: bool) -> AveragedTensors:
    """Collect the tensors of an EMA model and of its student, for `update_average`.

    For a small model, this takes as long as the update itself, so it should be done only once.

    Args:
        statistics: average the statistics of BatchNorm too, instead of copying them from the student.
    """
    averaged: list[tuple[Tensor, Tensor]] = list(zip(average.parameters(), student.parameters(), strict=True))
    buffers = list(zip(average.buffers(), student.buffers(), strict=True))
    means = [pair for pair in buffers if pair[0].is_floating_point()]
    counters = [pair for pair in buffers if not pair[0].is_floating_point()]
    if statistics:
        averaged += means
        means = []
    copied = [_transposed(pairs) for pairs in (means, counters) if pairs]  # a GPU copies a mixed list one by one
    return AveragedTensors(_transposed(averaged), copied)


def _transposed(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    return [own for own, _ in pairs], [other for _, other in pairs]


@torch.no_grad()
def update_average(tensors: AveragedTensors, decay: float) -> None:
    """Update an EMA model in place after an optimizer step of the student.

    Args:
        decay: factor of the previous average, in [0, 1).
    """
    torch._foreach_lerp_(*tensors.averaged, 1 - decay)
    for own, other in tensors.copied:
        torch._foreach_copy_(own, other)
