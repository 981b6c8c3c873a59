"""Several processes, one training: `torchrun --nproc-per-node 2 -m semisup train ...`; on GPUs one process each.

All processes draw the same batch, augment it, ask the policy about all of it and compute the same loss, as one process
does; what is shared out is the model's work, in training and in scoring:

    forward     process r looks at its run of rows; the logits of all rows are gathered on every process
    backward    the gradient of the whole loss reaches each row where it was looked at, and is summed over the processes

So methods and policies know nothing of it, and whatever they do with a batch (a mean, a rank, a memory of every image)
is what they do on one process. torch's DistributedDataParallel shares out the loss as well, and a policy's word or
FreeMatch's fairness would then be of a part of the batch. What is paid: every process augments the whole batch, and the
sum of the gradients waits for the end of the backward pass.

BatchNorm normalizes by the rows of all processes. Sums over rows are in another order than on one process, so that the
last bits depend on the number of processes, and dropout has other draws; a repeat with as many is the same to the bit.

With one process all of this is nothing at all.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from semisup.runtime import torchrun_env

TIMEOUT = timedelta(days=2)
"""The first process may decode a large data set before the others hear of it; torchrun ends those whose peer died."""


def world_size() -> int:
    """How many processes work together now."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is: 0 leads."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_device(device: str) -> torch.device:
    """`cuda` is another GPU for each process of a machine."""
    if device == "cuda" and world_size() > 1:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(device)


class Team:
    """The processes of one run, seen from one of them."""

    def __init__(self) -> None:
        self.told = world_size() == 1
        self.began = False

    def broadcast(self, news: bytes | None) -> None:
        """From the leader to the others: what they need to begin, or None = there is nothing to do."""
        if not self.told:
            self.told = True
            dist.broadcast(torch.tensor(-1 if news is None else len(news)), 0)
            if news:
                dist.broadcast(torch.frombuffer(bytearray(news), dtype=torch.uint8), 0)
                self.began = True

    def receive(self) -> bytes | None:
        """What the leader tells."""
        self.told = True
        length = torch.tensor(0)
        dist.broadcast(length, 0)
        if int(length) < 0:
            return None
        news = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(news, 0)
        self.began = True
        return news.numpy().tobytes()

    def barrier(self) -> None:
        """At an end that all have come to: nobody leaves while another still waits for what it had sent."""
        if self.began:
            with suppress(RuntimeError):  # the others may be gone a moment before this one
                dist.barrier()


@contextmanager
def process_group(device: str) -> Iterator[Team]:
    """In here the processes that torchrun started are one team; a leader that leaves early sends the others home."""
    if torchrun_env.world_size() == 1:
        yield Team()
        return
    dist.init_process_group("gloo" if device == "cpu" else "cpu:gloo,cuda:nccl", timeout=TIMEOUT)
    try:
        if device != "cpu":
            torch.cuda.set_device(local_device("cuda"))
        team = Team()
        try:
            yield team
        except SystemExit:  # a signal, upon which all agreed
            team.barrier()
            raise
        else:
            team.barrier()
        finally:
            if rank() == 0:
                team.broadcast(None)
    finally:
        dist.destroy_process_group()


def all_reduce_max(value: int) -> int:
    """The largest of the processes' values, on all of them; the device is not waited for."""
    if world_size() == 1:
        return value
    shared = torch.tensor(value)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def assert_replicas_equal(model: nn.Module) -> None:
    """Raise RuntimeError unless every bit of the model is the same on all processes: unlike processors may round
    differently."""
    if world_size() == 1:
        return
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    mine = torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
    digests = [torch.empty_like(mine) for _ in range(world_size())]
    dist.all_gather(digests, mine)
    if apart := [number for number, each in enumerate(digests) if not torch.equal(each, digests[0])]:
        raise RuntimeError(
            f"the processes' models have come apart: {', '.join(map(str, apart))} of {world_size()} from the first; "
            "are their processors or versions unlike?"
        )


# The model's work -----------------------------------------------------------------------------------------------------


def shard_forward(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same function of (n, ...) rows -> (n, K) float32, each process looking at its part of the rows."""

    def shared(rows: Tensor) -> Tensor:
        ends = _ends(len(rows))
        own = forward(rows[ends[rank()] : ends[rank() + 1]])
        gathered: Tensor = _Gathered.apply(own.float(), ends)  # type: ignore[no-untyped-call]
        return gathered

    return shared


def _ends(rows: int) -> list[int]:
    """Where the processes' parts begin, and where the last ends: equal parts, the first ones one row longer."""
    each, more = divmod(rows, world_size())
    return [part * each + min(part, more) for part in range(world_size() + 1)]


class _Gathered(torch.autograd.Function):
    """(m, K) of each process -> (n, K) of all, in order; a gradient goes to the rows that came from here."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, ends: list[int]) -> Tensor:
        ctx.part = ends[rank()], ends[rank() + 1]
        padded = own.new_zeros(ends[1], *own.shape[1:])  # the first part is the longest
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(world_size())]
        dist.all_gather(parts, padded)
        return torch.cat([part[: ends[at + 1] - ends[at]] for at, part in enumerate(parts)])

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor, None]:
        begin, end = ctx.part
        return gradient[0][begin:end], None


def all_reduce_gradients(model: nn.Module) -> None:
    """After backward: the gradients become their sums over the processes."""
    if world_size() == 1:
        return
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    flat = torch.cat([each.flatten() for each in gradients])
    dist.all_reduce(flat)
    sums = [
        part.view(each.shape) for part, each in zip(flat.split([g.numel() for g in gradients]), gradients, strict=True)
    ]
    torch._foreach_copy_(gradients, sums)


# BatchNorm ------------------------------------------------------------------------------------------------------------


def sync_batchnorm(model: nn.Module, device: torch.device) -> None:
    """BatchNorm of this model takes its means over the rows of all processes: by torch's SyncBatchNorm on GPUs, and on
    processors, for which that is not made, by the same sums."""
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for each in model.modules():
        if isinstance(each, nn.modules.batchnorm._BatchNorm):
            setattr(each, "forward", partial(_normalized, each))  # noqa: B010  # its own, not its class's


def _normalized(norm: nn.modules.batchnorm._BatchNorm, rows: Tensor) -> Tensor:
    """BatchNorm of (m, C, ...) rows; in training by mean and variance over the rows of all processes."""
    if not norm.training:
        return type(norm).forward(norm, rows)
    values = rows.float()
    channels, over = values.shape[1], [0, *range(2, values.ndim)]
    each = values.new_tensor([values.numel() / channels])
    total: Tensor = _Sum.apply(torch.cat((values.sum(over), each)))  # type: ignore[no-untyped-call]
    images = total[channels].detach()
    mean = total[:channels] / images
    centered = values - _beside(mean, values)
    squares: Tensor = _Sum.apply(centered.square().sum(over))  # type: ignore[no-untyped-call]
    variance = squares / images
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        assert norm.momentum is not None
        assert norm.num_batches_tracked is not None
        with torch.no_grad():
            norm.num_batches_tracked += 1
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(variance * images / (images - 1).clamp(min=1), norm.momentum)
    result = centered * _beside((variance + norm.eps).rsqrt(), values)
    if norm.affine:
        result = result * _beside(norm.weight, values) + _beside(norm.bias, values)
    return result.to(rows.dtype)


def _beside(of_channels: Tensor, like: Tensor) -> Tensor:
    """(C,) as (1, C, 1, ...)."""
    return of_channels.view(1, -1, *[1] * (like.ndim - 2))


class _Sum(torch.autograd.Function):
    """The sum over the processes, on all of them; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Tensor:
        total = gradient[0].contiguous().clone()
        dist.all_reduce(total)
        return total
