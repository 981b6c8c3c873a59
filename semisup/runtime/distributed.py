"""Train one run with several processes, one for each GPU.

The command is `torchrun --nproc-per-node 2 -m semisup train ...`.

All processes draw and augment the same batch, select pseudo-labels and compute the loss on the whole batch, as in a
run with one process. Only the passes of the model are distributed, in training and in evaluation:

    forward     each process computes a contiguous part of the rows; then every process gets the logits of all rows
    backward    each process computes the gradient of the whole loss for its rows; then the gradients of the parameters
                are summed over the processes

So methods and threshold policies always get the whole batch. BatchNorm normalizes over the rows of all processes.
Results depend slightly on the number of processes, because sums have another order (rounding) and dropout has other
draws. A repeated run with the same number of processes is bit-identical.
"""

import hashlib
import os
import sys
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
"""Time limit for waiting for another process. It is long, because rank 0 may first decode a large data set."""


def world_size() -> int:
    """Return the number of processes of this run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process; rank 0 is the leader, which writes files and prints."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_device(device: str) -> torch.device:
    """Convert the setting `device` to a device of torch; for `cuda`, each process of a machine gets its own GPU."""
    if device == "cuda" and world_size() > 1:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(device)


class Team:
    """Communication between the processes that train one run together.

    announced: whether the leader (rank 0) has sent its start message
    started: whether this message started a run
    """

    def __init__(self) -> None:
        self.announced = world_size() == 1
        self.started = False

    def broadcast(self, message: bytes | None) -> None:
        """Send the start message from the leader to the other processes; do nothing if it was sent already.

        Args:
            message: data of the run to start; None = there is no run to start.
        """
        if not self.announced:
            self.announced = True
            dist.broadcast(torch.tensor(-1 if message is None else len(message)), 0)
            if message:
                dist.broadcast(torch.frombuffer(bytearray(message), dtype=torch.uint8), 0)
                self.started = True

    def receive(self) -> bytes | None:
        """Receive the start message of the leader; None = there is no run to start."""
        self.announced = True
        length = torch.tensor(0)
        dist.broadcast(length, 0)
        if int(length) < 0:
            return None
        message = torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(message, 0)
        self.started = True
        return message.numpy().tobytes()

    def barrier(self) -> None:
        """Wait until all processes have reached the end of the run; do nothing if no run was started."""
        # otherwise a process could end while another one still receives data from it
        if self.started:
            with suppress(RuntimeError):  # another process may have ended a moment earlier
                dist.barrier()


@contextmanager
def process_group(device: str) -> Iterator[Team]:
    """Context manager that connects the processes that torchrun started; with one process, it does nothing.

    If no run was started in its body, the leader (rank 0) tells the other processes at the end that there is none.
    """
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
        except SystemExit:  # a stop signal, on which all processes agreed
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
    """Return the maximum of `value` over the processes."""
    if world_size() == 1:
        return value
    shared = torch.tensor(value)
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return int(shared)


def from_leader(compute: Callable[[], Tensor], *shape: int, device: torch.device) -> Tensor:
    """Compute a float32 tensor on the leader (rank 0), and return it on all processes.

    Args:
        compute: function that computes the tensor; called only on the leader.
        shape: shape of the tensor.
        device: device of the tensor.
    """
    if world_size() == 1:
        return compute()
    value = compute().contiguous() if rank() == 0 else torch.empty(shape, device=device)
    dist.broadcast(value, 0)
    return value


def assert_replicas_equal(model: nn.Module) -> None:
    """Check that the model is bit-identical on all processes.

    Raises:
        RuntimeError: the models differ, for example because different CPUs round differently.
    """
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
            f"the models of processes {', '.join(map(str, apart))} of {world_size()} differ from that of process 0; "
            "use machines with the same CPU and package versions"
        )


def shard_forward(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Wrap a forward function, so that each process computes a part of a batch and gets the results of all parts.

    Args:
        forward: function from n rows of a batch, (n, ...), to logits, (n, K) float32.
    """

    def shared(rows: Tensor) -> Tensor:
        ends = _ends(len(rows))
        own = forward(rows[ends[rank()] : ends[rank() + 1]])
        gathered: Tensor = _Gathered.apply(own.float(), ends)  # type: ignore[no-untyped-call]
        return gathered

    return shared


def _ends(rows: int) -> list[int]:
    """Divide the rows of a batch among the processes.

    Returns:
        world_size + 1 row indices `ends`; process r computes rows[ends[r] : ends[r + 1]]. The first parts may have one
        more row than the last ones.
    """
    each, more = divmod(rows, world_size())
    return [part * each + min(part, more) for part in range(world_size() + 1)]


class _Gathered(torch.autograd.Function):
    """Autograd function that concatenates the (m, K) outputs of all processes to (n, K).

    In the backward pass, each process gets the gradient of its own rows.
    """

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
    """Sum the gradients of the parameters over the processes, after the backward pass."""
    if world_size() == 1:
        return
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    flat = torch.cat([each.flatten() for each in gradients])
    dist.all_reduce(flat)
    sums = [
        part.view(each.shape) for part, each in zip(flat.split([g.numel() for g in gradients]), gradients, strict=True)
    ]
    torch._foreach_copy_(gradients, sums)


def sync_batchnorm(model: nn.Module, device: torch.device) -> None:
    """Make the BatchNorm layers of a model compute their statistics over the rows of all processes.

    On GPUs, torch's SyncBatchNorm is used. It does not support CPUs, so `_normalized` is used there.
    """
    if device.type == "cuda":
        _convert_sync_batchnorm(model)
        return
    for each in model.modules():
        if isinstance(each, nn.modules.batchnorm._BatchNorm):
            setattr(each, "forward", partial(_normalized, each))  # noqa: B010  # set on the instance, not on its class


def _convert_sync_batchnorm(model: nn.Module) -> None:
    """Replace BatchNorm by torch's SyncBatchNorm."""
    # torch's own conversion would lose the activation function of timm's BatchNormAct2d
    timm = sys.modules.get("timm.layers")  # imported where a network of timm was built
    convert = nn.SyncBatchNorm.convert_sync_batchnorm if timm is None else timm.convert_sync_batchnorm
    convert(model)


def _normalized(norm: nn.modules.batchnorm._BatchNorm, rows: Tensor) -> Tensor:
    """Apply BatchNorm to this process's (m, C, ...) rows of a batch.

    In training mode, mean and variance are computed over the rows of all processes.
    """
    if not norm.training:
        return type(norm).forward(norm, rows)
    values = rows.float()
    channels, over = values.shape[1], [0, *range(2, values.ndim)]
    each = values.new_tensor([values.numel() / channels])
    total: Tensor = _Sum.apply(torch.cat((values.sum(over), each)))  # type: ignore[no-untyped-call]
    images = total[channels].detach()
    mean = total[:channels] / images
    centered = values - _per_channel(mean, values)
    squares: Tensor = _Sum.apply(centered.square().sum(over))  # type: ignore[no-untyped-call]
    variance = squares / images
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        assert norm.momentum is not None
        assert norm.num_batches_tracked is not None
        with torch.no_grad():
            norm.num_batches_tracked += 1
            norm.running_mean.lerp_(mean, norm.momentum)
            norm.running_var.lerp_(variance * images / (images - 1).clamp(min=1), norm.momentum)
    result = centered * _per_channel((variance + norm.eps).rsqrt(), values)
    if norm.affine:
        result = result * _per_channel(norm.weight, values) + _per_channel(norm.bias, values)
    result = result.to(rows.dtype)
    for name in ("drop", "act"):  # of timm's BatchNormAct2d, in this order
        if isinstance(layer := getattr(norm, name, None), nn.Module):
            result = layer(result)
    return result


def _per_channel(of_channels: Tensor, like: Tensor) -> Tensor:
    """Reshape (C,) values of channels to (1, C, 1, ...), with as many dimensions as `like`."""
    return of_channels.view(1, -1, *[1] * (like.ndim - 2))


class _Sum(torch.autograd.Function):
    """Autograd function that sums a tensor over the processes, in the forward and the backward pass."""

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
