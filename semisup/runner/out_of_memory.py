"""Memory that runs out, said in one line with what to try, whoever says it: Python, torch on the CPU, or CUDA."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from semisup.config.schema import RunConfig
from semisup.errors import InsufficientMemoryError
from semisup.text import escape

OF_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


@contextmanager
def translate_oom(run_config: RunConfig, what: Callable[[RunConfig, str], str] | None = None) -> Iterator[None]:
    """In here, an error of memory becomes a ShortOfMemoryError, whose words `what` makes of the settings and of what
    the error says; by itself those of training."""
    try:
        yield
    except InsufficientMemoryError:  # said further inside
        raise
    except (MemoryError, RuntimeError) as error:
        if not _of_memory(error):
            raise
        said = escape((str(error).splitlines() or ["MemoryError"])[0])
        raise InsufficientMemoryError(f"out of memory {(what or _training)(run_config, f'({said})')}") from error


def reading(run_config: RunConfig, said: str) -> str:
    """While images are read: it is not the batches that are too large."""
    words = [f"dataset.size={run_config.dataset.size // 2}"]
    if "memory_gb" in run_config.config["dataset"]:
        words.append("dataset.memory_gb=0, which leaves the pixels in dataset.cache")
    return f"{said} while images were read; try {' or '.join(words)}"


def saving(run_config: RunConfig, said: str) -> str:
    """While a checkpoint is written."""
    copy = "which takes the weights and the optimizer's state once more"
    return f"{said} while a checkpoint was written, {copy}; try fewer runs at a time, or a smaller model"


def _of_memory(error: BaseException) -> bool:
    """torch says it on the CPU by a plain RuntimeError, and so it does of CUDA's libraries and of pinned memory."""
    named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return named or any(words in str(error) for words in OF_MEMORY)


def _training(run_config: RunConfig, said: str) -> str:
    plan = run_config.settings.train
    sizes = {"batch_size": plan.batch_size, "eval_batch_size": plan.eval_batch_size}
    words = [f"train.{key}={size // 2}" for key, size in sizes.items() if size > 1]
    return f"{said}; try {' '.join(words) or 'a smaller model, or a smaller dataset.size'}"
