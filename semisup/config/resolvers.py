"""Compute the number of parallel runs on a machine, for the launcher presets in conf/hydra/launcher/.

A run uses exactly `threads` threads, because with another number its results may differ slightly (rounding). Therefore
the number of parallel runs is adapted to the number of cores, and the number of threads per run is not.
"""

import functools
import os
import warnings
from itertools import takewhile

from omegaconf import DictConfig, OmegaConf

VISIBLE = "CUDA_VISIBLE_DEVICES"
NO_GPU = ("", "-1")


def runs_per_machine(threads: int) -> int:
    """Compute how many runs of `threads` threads fit the CPU cores that this process may use, at least 1.

    In a container, or under taskset, these can be fewer than the cores of the machine.
    """
    import joblib

    cores: int = joblib.cpu_count()
    return max(1, cores // max(1, threads))


def concurrent_runs(launcher: DictConfig) -> int:
    """Compute how many runs joblib executes at a time on this machine; 1 with another launcher."""
    jobs = launcher.get("n_jobs") or 1
    if jobs > 0:
        return int(jobs)
    import joblib

    return max(1, int(joblib.cpu_count()) + 1 + int(jobs))


def visible_gpus() -> list[str]:
    """List the visible GPUs by their names in CUDA_VISIBLE_DEVICES, up to the first invalid entry.

    Without that variable, all GPUs are listed by number. CUDA is not initialized.
    """
    if (visible := os.environ.get(VISIBLE)) is not None:
        return list(takewhile(lambda each: each not in NO_GPU, (each.strip() for each in visible.split(","))))
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@functools.cache  # called before `assign_gpu`, after which this process sees one GPU
def gpu_count() -> int:
    """Count the visible GPUs; without any, warn and return 1."""
    count = len(visible_gpus())
    if not count:
        warnings.warn("hydra/launcher=gpus: no GPU on this machine; running one job at a time", stacklevel=2)
    return max(1, count)


def register() -> None:
    """Register `${semisup.side_by_side:${threads}}` and `${semisup.gpus:}` for configs."""
    OmegaConf.register_new_resolver("semisup.side_by_side", runs_per_machine, replace=True)
    OmegaConf.register_new_resolver("semisup.gpus", gpu_count, replace=True)
