"""Compute the number of parallel runs on a machine, for the launcher presets in conf/hydra/launcher/.

A run uses exactly `threads` threads, because with another number its results may differ slightly (rounding). Therefore
the number of parallel runs is adapted to the number of cores, and the number of threads per run is not.
"""

import functools
import os
import warnings
from itertools import takewhile

from omegaconf import DictConfig

from semisup.config.hydra_versions import register_resolver

VISIBLE = "CUDA_VISIBLE_DEVICES"
NO_GPU = ("", "-1")


def runs_per_machine(threads: int) -> int:
    """Compute how many runs with `threads` threads each fit on this machine's CPU cores, at least 1.

    Only the cores that this process may use count; in a container they can be fewer than those of the machine.
    """
    import joblib

    cores: int = joblib.cpu_count()
    return max(1, cores // max(1, threads))


def concurrent_runs(launcher: DictConfig) -> int:
    """Compute how many runs a sweep executes at a time on this machine with joblib; 1 with another launcher."""
    jobs = launcher.get("n_jobs") or 1
    if jobs > 0:
        return int(jobs)
    import joblib

    return max(1, int(joblib.cpu_count()) + 1 + int(jobs))


def visible_gpus() -> list[str]:
    """List the GPUs that this process can use, by their names in the environment variable CUDA_VISIBLE_DEVICES.

    An invalid entry ends the list, as in CUDA. Without the variable, all GPUs are listed by number. CUDA is not
    initialized.
    """
    if (visible := os.environ.get(VISIBLE)) is not None:
        return list(takewhile(lambda each: each not in NO_GPU, (each.strip() for each in visible.split(","))))
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@functools.cache  # called before `assign_gpu`, after which this process sees one GPU
def gpu_count() -> int:
    """Count the GPUs that this process can use; if there are none, warn and return 1."""
    count = len(visible_gpus())
    if not count:
        warnings.warn("hydra/launcher=gpus: no GPU on this machine; running one job at a time", stacklevel=2)
    return max(1, count)


def register() -> None:
    """Register the functions that configs call as `${semisup.side_by_side:${threads}}` and `${semisup.gpus:}`."""
    register_resolver("semisup.side_by_side", runs_per_machine)
    register_resolver("semisup.gpus", gpu_count)
