"""Compute the number of parallel runs on a machine, for the launcher presets in conf/hydra/launcher/.

A run uses exactly `threads` threads, because another number changes the last bits of its results. So the number of runs
follows the number of cores, not the number of threads.
"""

import functools
import os
import warnings
from itertools import takewhile

from omegaconf import DictConfig, OmegaConf

VISIBLE = "CUDA_VISIBLE_DEVICES"
NO_GPU = ("", "-1")


def runs_per_machine(threads: int) -> int:
    """The number of runs of `threads` threads that fit the cores of this process, at least 1.

    In a container or under taskset only the share of this process counts.
    """
    import joblib

    cores: int = joblib.cpu_count()
    return max(1, cores // max(1, threads))


def concurrent_runs(launcher: DictConfig) -> int:
    """The number of runs that joblib has on this machine at a time; 1 with another launcher."""
    jobs = launcher.get("n_jobs") or 1
    if jobs > 0:
        return int(jobs)
    import joblib

    return max(1, int(joblib.cpu_count()) + 1 + int(jobs))


def visible_gpus() -> list[str]:
    """Visible GPUs by their names in CUDA_VISIBLE_DEVICES, up to the first invalid entry. Does not initialize CUDA."""
    if (visible := os.environ.get(VISIBLE)) is not None:
        return list(takewhile(lambda each: each not in NO_GPU, (each.strip() for each in visible.split(","))))
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@functools.cache  # called before `assign_gpu`, after which this process sees one GPU
def gpu_count() -> int:
    """The number of visible GPUs, at least 1."""
    count = len(visible_gpus())
    if not count:
        warnings.warn("hydra/launcher=gpus: no GPU on this machine; running one job at a time", stacklevel=2)
    return max(1, count)


def register() -> None:
    """Register `${semisup.side_by_side:${threads}}` and `${semisup.gpus:}` for configs."""
    OmegaConf.register_new_resolver("semisup.side_by_side", runs_per_machine, replace=True)
    OmegaConf.register_new_resolver("semisup.gpus", gpu_count, replace=True)
