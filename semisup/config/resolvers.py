"""Compute the number of parallel runs on a machine, for the launcher presets in conf/hydra/launcher/.

The number of threads of a run is the setting `threads` on every machine, because it affects the rounding of results.
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

    Only the cores that this process may use are counted, for example those of a container.
    """
    import joblib

    cores: int = joblib.cpu_count()
    return max(1, cores // max(1, threads))


def concurrent_runs(launcher: DictConfig) -> int:
    """Compute how many runs a sweep executes at a time on this machine.

    Returns:
        The number of joblib's processes (`n_jobs`); 1 with a launcher that has no such setting.
    """
    jobs = launcher.get("n_jobs") or 1
    if jobs > 0:
        return int(jobs)
    import joblib

    return max(1, int(joblib.cpu_count()) + 1 + int(jobs))


def visible_gpus() -> list[str]:
    """List the GPUs that this process can use, as they are named in the environment variable CUDA_VISIBLE_DEVICES.

    The list ends before the first entry that is empty or -1, as in CUDA. If the variable is not set, the indices of all
    GPUs are returned, as text. CUDA is not initialized.
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
    """Register the functions that YAML files call as `${semisup.side_by_side:${threads}}` and `${semisup.gpus:}`."""
    register_resolver("semisup.side_by_side", runs_per_machine)
    register_resolver("semisup.gpus", gpu_count)
