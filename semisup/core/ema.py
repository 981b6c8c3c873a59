"""An exponential moving average of a model's weights (Mean Teacher, arXiv 1703.01780).

    ema_t = d_t ema_(t-1) + (1 - d_t) student_t        after every optimizer step t = 1, 2, ..., parameters only
    d_t   = d, or with a warm-up min(d, t / (t + 9))

Without a warm-up the first weights, which know nothing, fade by d a step: a third of them is left after 1 / (1 - d)
steps. With it the average is of the last ninth of the steps, until d is reached (TensorFlow's `num_updates`).
Buffers (BatchNorm's statistics) are averages already and are copied, as FixMatch does. They are of the student's
activations, though, and not of the average's where weights move fast: with `statistics` they are averaged alike (EMAN,
arXiv 2101.08482, section 3.2). One fused call for all tensors of a type.
"""

import copy

import torch
from torch import Tensor, nn


def start_average(student: nn.Module) -> nn.Module:
    """A copy of the student that needs no gradient."""
    return copy.deepcopy(student).requires_grad_(False)


def decay_at(decay: float, update: int, *, warmup: bool) -> float:
    """d_t of the update t = 1, 2, ... since the average was started."""
    return min(decay, update / (update + 9)) if warmup else decay


@torch.no_grad()
def update_average(average: nn.Module, student: nn.Module, decay: float, *, statistics: bool) -> None:
    """Move `average` towards `student`, in place; `decay` in [0, 1). `statistics`: BatchNorm's too."""
    moved: list[tuple[Tensor, Tensor]] = list(zip(average.parameters(), student.parameters(), strict=True))
    buffers = list(zip(average.buffers(), student.buffers(), strict=True))
    means = [pair for pair in buffers if pair[0].is_floating_point()]
    counters = [pair for pair in buffers if not pair[0].is_floating_point()]
    if statistics:
        moved += means
        means = []
    torch._foreach_lerp_([own for own, _ in moved], [other for _, other in moved], 1 - decay)
    for copied in (means, counters):  # tensors of several types a GPU would copy one by one
        if copied:
            torch._foreach_copy_([own for own, _ in copied], [other for _, other in copied])
