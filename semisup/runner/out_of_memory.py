"""Convert out-of-memory errors of Python, torch and CUDA to an error message with settings to change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from semisup.config.schema import RunConfig
from semisup.errors import InsufficientMemoryError, first_line
from semisup.runtime.torchrun_env import world_size
from semisup.text import escape, listed

MESSAGES = ("DefaultCPUAllocator", "can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


@contextmanager
def translate_oom(run_config: RunConfig, what: Callable[[RunConfig, str], str] | None = None) -> Iterator[None]:
    """Context that converts out-of-memory errors to InsufficientMemoryError, with advice for the user.

    Args:
        what: function that writes the advice, `reading` or `saving`; None = the advice for training.
    """
    try:
        yield
    except InsufficientMemoryError:  # translated by an inner context
        raise
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        message = escape(first_line(error) or "MemoryError")
        raise InsufficientMemoryError(f"out of memory {(what or _training)(run_config, f'({message})')}") from error


def reading(run_config: RunConfig, message: str) -> str:
    """Write the advice for a run that was out of memory while images were read.

    Args:
        message: the text of the original error, already in parentheses.
    """
    settings = [f"dataset.size={run_config.dataset.size // 2}"]
    if "memory_gb" in run_config.config["dataset"]:
        settings.append("dataset.memory_gb=0, which leaves the pixels in dataset.cache")
    return f"{message} while images were read; try {listed(settings)}"


def saving(run_config: RunConfig, message: str) -> str:
    """Write the advice for a run that was out of memory while a checkpoint was written.

    Args:
        message: the text of the original error, already in parentheses.
    """
    copy = "which needs a second copy of the weights and the optimizer's state"
    return f"{message} while a checkpoint was written, {copy}; try fewer runs at a time, or a smaller model"


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the machine or the GPU is out of memory."""
    # for CPU memory, pinned memory and CUDA's libraries, torch raises a plain RuntimeError
    by_type = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return by_type or any(part in str(error) for part in MESSAGES)


def _training(run_config: RunConfig, message: str) -> str:
    """Write the advice for a run that was out of memory in training or evaluation.

    Args:
        message: the text of the original error, already in parentheses.
    """
    plan = run_config.settings.train
    sizes = {"batch_size": plan.batch_size, "eval_batch_size": plan.eval_batch_size}
    smaller = [f"train.{key}={size // 2}" for key, size in sizes.items() if size > 1]
    advice = ["a smaller model, or a smaller dataset.size"] if not smaller else [" ".join(smaller)]
    if plan.batch_size >= 4 * plan.accumulate and not run_config.run.compile and world_size() == 1:
        advice.append(f"train.accumulate={2 * plan.accumulate}, which computes the same batch in parts")
    return f"{message}; try {', or '.join(advice)}"
