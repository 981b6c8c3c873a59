"""Memory that runs out, said in one line with what to try, whoever says it: Python, torch on the CPU, or CUDA."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from semisup.build import Checked
from semisup.errors import ShortOfMemoryError, show


@contextmanager
def told_of_memory(checked: Checked) -> Iterator[None]:
    """In here, an error of memory becomes a ShortOfMemoryError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _of_memory(error):
            raise
        said = show((str(error).splitlines() or ["MemoryError"])[0])
        raise ShortOfMemoryError(f"out of memory ({said}); try {_smaller(checked)}") from error


def _of_memory(error: BaseException) -> bool:
    """torch says it on the CPU by a plain RuntimeError."""
    named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return named or "DefaultCPUAllocator" in str(error) or "can't allocate memory" in str(error)


def _smaller(checked: Checked) -> str:
    plan = checked.settings.train
    sizes = {"batch_size": plan.batch_size, "scoring_batch_size": plan.scoring_batch_size}
    words = [f"train.{key}={size // 2}" for key, size in sizes.items() if size > 1]
    return " ".join(words) or "a smaller model, or a smaller dataset.size"
