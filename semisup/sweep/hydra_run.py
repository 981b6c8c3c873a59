"""Run Hydra with a whole command line, or for one job of a sweep."""

import functools
import os
import sys
from collections.abc import Callable, Sequence

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from semisup.config.compose import config_folder
from semisup.config.hydra_versions import SINGLE_RUN, main
from semisup.sweep.job import JOB_NUMBER, job

PARALLEL_ONLY = ("hydra.launcher.", "hydra.sweeper.", "hydra.mode")
"""Beginnings of overrides of Hydra's settings that apply only to sweeps."""

NUMBER_WORD = f"+hydra.job.env_set.{JOB_NUMBER}="
"""Beginning of an override with the number of a job in the sweep, because launchers number the jobs differently."""


def run_hydra(words: list[str], task: Callable[[DictConfig], float | None] = job) -> None:
    """Run Hydra with these command-line words; Hydra composes the config of each job and calls `task` with it."""
    sys.argv = ["semisup train", *words]
    GlobalHydra.instance().clear()
    main(task, config_folder(), "train")


def run_job(number: int, overrides: Sequence[str], hydra_words: Sequence[str]) -> float | None:
    """Run one job of a sweep as a single run of Hydra, without a launcher.

    Args:
        number: index of the job in the sweep, from 0.
        overrides: overrides (KEY=VALUE words) of the job.
        hydra_words: overrides of Hydra's own settings, from `single_run_words`.

    Returns:
        The validation accuracy of the run in [0, 1], or None if it has none.
    """
    accuracies: list[float | None] = []

    @functools.wraps(job)  # Hydra reads the name of its module
    def task(config: DictConfig) -> float | None:
        accuracies.append(job(config))
        return accuracies[-1]

    os.environ[JOB_NUMBER] = str(number)
    run_hydra([*SINGLE_RUN, *overrides, *hydra_words], task)
    return accuracies[-1]


def single_run_words(words: Sequence[str]) -> list[str]:
    """Select, from command-line words, the overrides of Hydra's own settings that also apply to a single run."""
    keys = [(word, word.lstrip("+~")) for word in words]
    return [word for word, key in keys if key.startswith("hydra.") and not key.startswith(PARALLEL_ONLY)]
