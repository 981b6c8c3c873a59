"""How numbers are computed: threads, precision, layout, compilation, and whether a repeat is the same to the bit.

precision        bfloat16 halves what a step costs where the device has an instruction for it; where it has none,
                 a step costs more than in float32. `auto` asks the device
deterministic    only operations whose sums have one order; on a GPU also no convolutions chosen by timing, and no
                 TF32. Without it two runs of one config may differ in the last bits on a GPU; never on a processor
compile          torch.compile, one kernel for every shape that comes: what a kernel does then depends on the shape
                 alone, and not on which shapes came before it, so that a resumed run has the kernels of a whole one
"""

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from semisup.errors import SettingError
from semisup.runtime import distributed
from semisup.runtime.determinism import set_cublas_workspace, use_deterministic_algorithms
from semisup.runtime.torchrun_env import local_world_size, world_size

MAX_SHAPES = 4096
"""Compiled for one function, before torch would turn to the uncompiled one silently, and to its numbers."""


MULTIPLIES_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""Capabilities of a processor, as torch names them; the last two are ARM's."""


def default_precision(device: str) -> str:
    """float32 or bfloat16: which of the two is the faster on `cpu` or `cuda`, by what the device can multiply."""
    if device == "cpu":
        able = torch.cpu.get_capabilities()
        return "bfloat16" if any(able.get(name) for name in MULTIPLIES_BFLOAT16) else "float32"
    native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if native else "float32"


def configure_torch(threads: int, *, deterministic: bool) -> None:
    """Of this process, for the run that follows."""
    torch.set_num_threads(threads)
    if deterministic:
        use_deterministic_algorithms()
    else:
        set_cublas_workspace()
        torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.allow_tf32 = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = not deterministic


def require_device(device: str) -> None:
    """Raise SettingError unless this is a device here, for each of the processes that torchrun started on it."""
    if device == "cpu":
        return
    if not torch.cuda.is_available():
        raise SettingError("device", device, "there is no CUDA device here; use device=cpu")
    wanted, there = device.removeprefix("cuda:"), torch.cuda.device_count()
    if world_size() > 1 and device != "cuda":
        allowed = f"torchrun started {world_size()} processes, and each has a GPU of its own; use device=cuda"
        raise SettingError("device", device, allowed)
    if world_size() > 1 and local_world_size() > there:
        allowed = f"torchrun started {local_world_size()} processes here, and there are {there} CUDA devices"
        raise SettingError("device", device, allowed)
    if device != "cuda" and int(wanted) >= there:
        raise SettingError("device", device, f"there are {there} CUDA devices here, from cuda:0 on")


def require_compiler(device: str) -> None:
    """Raise SettingError where torch.compile has not what it needs."""
    if world_size() > 1:
        raise SettingError("compile", True, f"goes with one process, and torchrun started {world_size()}")
    if device == "cpu":
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            raise SettingError("compile", True, f"needs a C++ compiler, and there is no {compiler} here")
    elif importlib.util.find_spec("triton") is None:
        raise SettingError("compile", True, "needs triton on a GPU, and it is not installed")


def wrap_forward(model: nn.Module, precision: str, device: torch.device, *, channels_last: bool, compile: bool) -> None:
    """How this model computes, whoever calls it: with bfloat16 every forward pass is autocast, and where the weights
    have their channels last, the images are brought into the same layout."""
    forward: Callable[..., Any] = model.forward
    if channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        forward = _channels_last(forward)
    if precision == "bfloat16":
        forward = torch.autocast(device.type, dtype=torch.bfloat16)(forward)
    if compile:
        forward = _compiled(forward)
    if distributed.world_size() > 1:
        distributed.sync_batchnorm(model, device)
        forward = distributed.shard_forward(forward)
    setattr(model, "forward", forward)  # noqa: B010  # its own, not its class's


def _channels_last(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Once for both passes: the first convolution would do it in each, and remembers what it was given."""

    def laid_out(images: torch.Tensor) -> Any:
        return forward(images.contiguous(memory_format=torch.channels_last))

    return laid_out


def _compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled anew for every shape, mode and layout that comes; never silently not."""
    import torch._dynamo.config as dynamo  # 2 s: only where it is used
    import torch._inductor.config as inductor

    dynamo.recompile_limit = dynamo.accumulated_recompile_limit = MAX_SHAPES
    dynamo.fail_on_recompile_limit_hit = True
    inductor.deterministic = torch.are_deterministic_algorithms_enabled()  # no kernel is chosen by timing
    compiled: Callable[..., Any] = torch.compile(forward, dynamic=False)
    return compiled
