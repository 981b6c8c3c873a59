"""How many runs go side by side on one machine, for the launcher presets in conf/hydra/launcher/.

A run uses exactly `threads` threads, because another number of them gives other last bits; so it is the number of runs
that follows the number of cores, and never the other way round.
"""

import functools
import os
import warnings
from itertools import takewhile

from omegaconf import DictConfig, OmegaConf

VISIBLE = "CUDA_VISIBLE_DEVICES"
NO_GPU = ("", "-1")


def runs_per_machine(threads: int) -> int:
    """Runs of `threads` threads each that this process's cores hold, at least 1; in a container or under taskset its
    share of the cores."""
    import joblib

    cores: int = joblib.cpu_count()
    return max(1, cores // max(1, threads))


def concurrent_runs(launcher: DictConfig) -> int:
    """Runs that joblib has on this machine at a time; 1 with another launcher."""
    jobs = launcher.get("n_jobs") or 1
    if jobs > 0:
        return int(jobs)
    import joblib

    return max(1, int(joblib.cpu_count()) + 1 + int(jobs))


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES has for them: those before the first
    that is none. Starts none of them."""
    if (visible := os.environ.get(VISIBLE)) is not None:
        return list(takewhile(lambda each: each not in NO_GPU, (each.strip() for each in visible.split(","))))
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


@functools.cache  # before `settle`, after which this process sees one
def gpu_count() -> int:
    """At least 1: so many runs go side by side where there is none."""
    there = len(visible_gpus())
    if not there:
        warnings.warn("hydra/launcher=gpus: there is no GPU here; the runs go one after another", stacklevel=2)
    return max(1, there)


def register() -> None:
    """Let configs say `${semisup.side_by_side:${threads}}` and `${semisup.gpus:}`."""
    OmegaConf.register_new_resolver("semisup.side_by_side", runs_per_machine, replace=True)
    OmegaConf.register_new_resolver("semisup.gpus", gpu_count, replace=True)
