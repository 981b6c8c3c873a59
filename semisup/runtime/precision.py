"""Configure how torch computes: threads, precision, memory layout, compilation, determinism.

precision        bfloat16 halves the time of a step if the device has instructions for bfloat16; otherwise float32 is
                 faster. `auto` detects these instructions
deterministic    if false, two runs of one config may differ slightly (rounding) on a GPU, but not on a CPU
compile          torch.compile with static shapes, so that a resumed run uses the same kernels as an uninterrupted one
"""

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from semisup.errors import SettingError
from semisup.runtime import distributed
from semisup.runtime.accumulation import in_parts
from semisup.runtime.determinism import set_cublas_workspace, use_deterministic_algorithms
from semisup.runtime.torchrun_env import local_world_size, world_size

MAX_SHAPES = 4096
"""Largest number of recompilations of one function, after which torch would run uncompiled code."""


BFLOAT16_CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""Names of CPU capabilities of torch with instructions for bfloat16; the last two are those of ARM."""


def default_precision(device: str) -> str:
    """Return bfloat16 if a device of this machine has instructions for it, otherwise float32; on `mps` float32.

    Args:
        device: `cpu`, `cuda` or `mps`.
    """
    if device == "mps":
        return "float32"
    if device == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return "bfloat16" if any(capabilities.get(name) for name in BFLOAT16_CAPABILITIES) else "float32"
    native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if native else "float32"


class PrecisionChoice(NamedTuple):
    """The precision that `precision=auto` selects for a run.

    value: float32 or bfloat16
    reason: why it was selected, for run.json
    """

    value: str
    reason: str


def choose_precision(device: str, depthwise: Callable[[], bool]) -> PrecisionChoice:
    """Choose the precision for `precision=auto` by a fixed rule, which predicts the faster one.

    Args:
        device: `cpu`, `cuda` or `mps`.
        depthwise: function that returns the result of `trains_depthwise` for the network; called only if needed.
    """
    value = default_precision(device)
    if device == "mps":
        return PrecisionChoice(value, "runs on mps use float32")
    if value == "float32":
        return PrecisionChoice(value, f"{device} has no instructions for bfloat16")
    if device == "cpu" and depthwise():
        return PrecisionChoice("float32", "gradients of depthwise convolutions are slow in bfloat16 on a CPU")
    return PrecisionChoice(value, f"{device} has instructions for bfloat16")


def trains_depthwise(network: nn.Module) -> bool:
    """Whether a network trains depthwise convolutions and has BatchNorm, as MobileNet does.

    On a CPU, such networks are slower in bfloat16 (docs/encoders.md has the measurements).
    """
    modules = list(network.modules())
    depthwise = [each for each in modules if isinstance(each, nn.Conv2d) and each.groups == each.in_channels > 1]
    trained = any(each.weight.requires_grad for each in depthwise)
    return trained and any(isinstance(each, _BatchNorm) for each in modules)


def configure_torch(threads: int, *, deterministic: bool) -> None:
    """Set torch's number of threads in this process, and whether torch may use only deterministic algorithms."""
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
    """Check that the device exists on this machine, and that each torchrun process has a GPU of its own.

    Raises:
        SettingError: a device is missing.
    """
    if device == "cpu":
        return
    if device == "mps":
        _require_mps()
        return
    if not torch.cuda.is_available():
        raise SettingError("device", device, "this machine has no CUDA device; use device=cpu")
    index, count = device.removeprefix("cuda:"), torch.cuda.device_count()
    if world_size() > 1 and device != "cuda":
        raise SettingError(
            "device", device, f"torchrun started {world_size()} processes, which need one GPU each; use device=cuda"
        )
    if world_size() > 1 and local_world_size() > count:
        raise SettingError(
            "device",
            device,
            f"torchrun started {local_world_size()} processes on this machine, which has {count} CUDA devices; "
            f"use --nproc-per-node {count}",
        )
    if device != "cuda" and int(index) >= count:
        allowed = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise SettingError("device", device, f"must be {allowed} on this machine")


def _require_mps() -> None:
    if not torch.backends.mps.is_built():
        raise SettingError("device", "mps", "this build of torch has no MPS, the GPU of a Mac; use device=cpu")
    if not torch.backends.mps.is_available():
        raise SettingError(
            "device", "mps", "this Mac has no GPU that torch supports, or too old a macOS; use device=cpu"
        )
    if world_size() > 1:
        raise SettingError("device", "mps", "supports one process; start the run without torchrun")


def require_compiler(device: str) -> None:
    """Check that torch.compile works on this machine.

    Raises:
        SettingError: there are several processes, or a compiler is missing.
    """
    if world_size() > 1:
        raise SettingError(
            "compile", True, f"supports only one process, but torchrun started {world_size()}; use compile=false"
        )
    if device == "cpu":
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            raise SettingError(
                "compile", True, f"needs a C++ compiler, but {compiler} is not installed; use compile=false"
            )
    elif importlib.util.find_spec("triton") is None:
        raise SettingError("compile", True, "needs the package triton on a GPU; install it, or use compile=false")


def wrap_forward(
    model: nn.Module,
    precision: str,
    device: torch.device,
    *,
    channels_last: bool,
    compile: bool,
    parts: int = 1,
) -> None:
    """Replace `model.forward` by a function that uses this precision, memory layout and compilation.

    With several processes (torchrun), the new function also divides the rows of a batch among the processes.

    Args:
        precision: float32 or bfloat16 (by autocast).
        channels_last: whether to convert weights and images to the memory layout torch.channels_last.
        compile: whether to use torch.compile.
        parts: number of parts of a training batch, which are computed one after another.
    """
    forward: Callable[..., Any] = model.forward
    if channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        forward = _channels_last(forward)
    if precision == "bfloat16":
        forward = torch.autocast(device.type, dtype=torch.bfloat16)(forward)
    if compile:
        forward = _compiled(forward)
    if parts > 1:
        forward = in_parts(model, forward, parts)
    if distributed.world_size() > 1:
        distributed.sync_batchnorm(model, device)
        forward = distributed.shard_forward(forward)
    setattr(model, "forward", forward)  # noqa: B010  # set on the instance, not on its class


def _channels_last(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a forward function, so that images are converted once to the memory layout channels_last."""
    # otherwise the first convolution would convert them in the forward pass and again in the backward pass

    def converted(images: torch.Tensor) -> Any:
        return forward(images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images)

    return converted


def _compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a forward function, separately for every shape, mode and memory layout.

    More than MAX_SHAPES recompilations raise an error, because uncompiled code rounds differently.
    """
    import torch._dynamo.config as dynamo  # takes 2 s
    import torch._inductor.config as inductor

    dynamo.recompile_limit = dynamo.accumulated_recompile_limit = MAX_SHAPES
    dynamo.fail_on_recompile_limit_hit = True
    inductor.deterministic = torch.are_deterministic_algorithms_enabled()  # no kernel chosen by timing
    compiled: Callable[..., Any] = torch.compile(forward, dynamic=False)
    return compiled
