"""Run the jobs of a sweep with Ray, on this machine or on a Ray cluster (`hydra/launcher=ray_cores`).

Each job is one Ray task. If the process of a job is lost, the job is submitted again and continues from its last
checkpoint.
"""

# The package hydra-ray-launcher is not used: the dependencies of its version 1.2 contradict those of joblib 1.6, its
# version 1.4 needs boto3 and Ray's dashboard, and both end the sweep when one process is lost.

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from semisup.errors import first_line
from semisup.report.console import safe_print
from semisup.runtime.process_signals import STOP_SIGNALS, deferred, handled_signals, restore, unblock
from semisup.sweep.hydra_run import NUMBER_WORD, run_job, single_run_words
from semisup.sweep.job_store import STOPPED, JobStore

ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0", "RAY_DEDUP_LOGS": "0"}
"""Environment variables to set, unless they are set: Ray then sends no statistics and prints every line."""


def install() -> None:
    """Make Hydra use `RayLauncher` for a launcher config that has the key `ray`."""
    # Hydra 1.3 finds a launcher class by its name only if the name begins with `hydra_plugins`
    create = Plugins.instantiate_launcher

    def create_launcher(plugins: Plugins, *, config: DictConfig, **context: Any) -> Launcher:
        if "ray" not in config.hydra.launcher:
            return create(plugins, config=config, **context)
        launcher = RayLauncher(config.hydra.launcher.ray)
        launcher.setup(config=config, **context)
        return launcher

    setattr(Plugins, "instantiate_launcher", create_launcher)  # noqa: B010


class RayLauncher(Launcher):
    """Hydra launcher that submits each job to Ray."""

    def __init__(self, ray: DictConfig) -> None:
        """Store the settings `init` (arguments of `ray.init`) and `remote` (options of each task)."""
        self.settings: Any = OmegaConf.to_container(ray, resolve=True)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the config of the sweep."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs and return their results, with the validation accuracies, in the order of the jobs.

        Args:
            job_overrides: overrides of each job.
            initial_job_idx: index of the first job.
        """
        jobs = dict(_numbered(list(words), number) for number, words in enumerate(job_overrides, initial_job_idx))
        self._start()
        accuracies = RayJobs(self.config, self.settings["remote"], jobs).run()
        return [_job_return(words, accuracies.get(number)) for number, words in jobs.items()]

    def _start(self) -> None:
        """Start Ray or connect to a cluster; do nothing if an earlier batch of the sweep has done this."""
        for key, value in ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        import ray

        if ray.is_initialized():
            return
        arguments = self.settings["init"]
        if arguments.get("address") in (None, "local"):
            with deferred(*handled_signals()):  # also restores the handler of SIGTERM, which Ray replaces
                ray.init(**arguments)
        else:  # connecting starts no processes, but can take minutes
            before = {signal.SIGTERM: signal.getsignal(signal.SIGTERM)}
            ray.init(**arguments)
            restore(before)


def shut_down() -> None:
    """End the processes of Ray that a launcher has started, or disconnect from the cluster."""
    if (ray := sys.modules.get("ray")) is not None:
        with deferred(*handled_signals()):  # Ray's agents would stay for a minute if their parent was killed
            ray.shutdown()


def _numbered(overrides: list[str], position: int) -> tuple[int, list[str]]:
    """Find the index of a job in its overrides, which can contain it as `+hydra.job.env_set.SEMISUP_JOB=3`.

    Args:
        position: the index to return if the overrides contain none.

    Returns:
        The index, and the overrides without it.
    """
    numbers = [word.removeprefix(NUMBER_WORD).strip("'") for word in overrides if word.startswith(NUMBER_WORD)]
    words = [word for word in overrides if not word.startswith(NUMBER_WORD)]
    return int(numbers[-1]) if numbers else position, words


def _job_return(overrides: list[str], accuracy: float | None) -> JobReturn:
    result = JobReturn(overrides=overrides, status=JobStatus.COMPLETED)
    result.return_value = accuracy
    return result


class JobContext(NamedTuple):
    """Settings that all jobs of a sweep share.

    directory: the working directory
    variables: environment variables to set
    hydra_words: overrides of Hydra's own settings
    resources: resources that Ray reserves for each job, such as {"CPU": 1}
    jobs: number of jobs of the sweep
    """

    directory: str
    variables: dict[str, str]
    hydra_words: list[str]
    resources: dict[str, float]
    jobs: int


class RayJobs:
    """The jobs of a sweep, submitted to Ray."""

    def __init__(self, config: DictConfig, remote: dict[str, Any], jobs: dict[int, list[str]]) -> None:
        """Store the jobs and their settings.

        Args:
            config: the config of the sweep, with the settings of Hydra.
            remote: options of each Ray task, such as `num_cpus`.
            jobs: index of a job -> its overrides.
        """
        import ray

        amounts = {"CPU": remote.get("num_cpus"), "GPU": remote.get("num_gpus")}
        self.jobs = jobs
        self.store = JobStore(Path(str(config.hydra.sweep.dir)))
        self.fail_fast = bool(config.sweep.fail_fast)
        self.context = JobContext(
            os.getcwd(),
            {key: value for key, value in os.environ.items() if key.startswith("SEMISUP_")},
            single_run_words(config.hydra.overrides.hydra),
            {name: float(amount) for name, amount in amounts.items() if amount},
            len(jobs),
        )
        self.task = ray.remote(**remote)(run_in_ray)
        self.running: dict[Any, int] = {}
        self.accuracies: dict[int, float | None] = {}

    def run(self) -> dict[int, float | None]:
        """Run all jobs, and return: index of a job -> its validation accuracy.

        If the node of a job is lost, the job is submitted again at once. If only the process of a job is lost, perhaps
        by a fault of the job, the job runs again alone after all others; if its process is lost again, the job has
        failed.
        """
        self._check_resources()
        try:
            for number in self.jobs:
                self._submit(number)
            crashed = self._collect()
            for number in crashed:
                self._submit(number)
                for _ in self._collect():
                    self.store.record_loss(number, "its Ray worker crashed twice", fail_fast=self.fail_fast)
        except (KeyboardInterrupt, SystemExit):
            self._stop()
            raise
        return self.accuracies

    def _check_resources(self) -> None:
        """Print a line if no node of the cluster is large enough for a job, because Ray then waits for one."""
        import ray

        needed = self.context.resources
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= amount for name, amount in needed.items()) for node in nodes):
            amounts = " and ".join(f"{amount:g} {name}" for name, amount in needed.items())
            safe_print(f"no node of the Ray cluster has {amounts} for a run; waiting for one (Ctrl-C stops the sweep)")

    def _submit(self, number: int) -> None:
        self.running[self.task.remote(number, self.jobs[number], self.context)] = number

    def _collect(self) -> list[int]:
        """Wait for the submitted jobs; return the indices of the jobs whose process crashed."""
        import ray
        from ray import exceptions

        crashed = []
        while self.running:
            (task,), _ = ray.wait(list(self.running), num_returns=1)
            number = self.running.pop(task)
            try:
                self.accuracies[number] = ray.get(task)
            except exceptions.RayTaskError as error:  # Hydra or Python raised it
                self.store.record_loss(number, first_line(error.cause), fail_fast=self.fail_fast)
            except (exceptions.NodeDiedError, exceptions.TaskCancelledError):
                self._continue(number)
            except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError):
                if self.store.is_interrupted(number):  # a signal to this process alone, as on a preempted node
                    self._continue(number)
                else:
                    crashed.append(number)
        return crashed

    def _continue(self, number: int) -> None:
        """Submit a job again because its node was lost; do nothing if the sweep is being stopped."""
        if self.store.stop_reason() != STOPPED:
            safe_print(f"the node of job {number} was lost; the job continues on another one")
            self._submit(number)

    def _stop(self) -> None:
        """Interrupt the submitted jobs, and wait until their runs have saved their state."""
        import ray

        tasks = list(self.running)
        for task in tasks:
            ray.cancel(task)
        if tasks:
            ray.wait(tasks, num_returns=len(tasks))


def run_in_ray(number: int, overrides: list[str], context: JobContext) -> float | None:
    """Run one job in a process of Ray; return the validation accuracy of its run, or None if it has none.

    Args:
        number: index of the job.
        overrides: overrides (KEY=VALUE) of the job.
        context: settings that all jobs share.
    """
    unblock(*STOP_SIGNALS)  # Ray blocks SIGINT
    os.environ.update(context.variables, HYDRA_FULL_ERROR="1")
    os.chdir(context.directory)
    at_a_time = f"+hydra.launcher.n_jobs={_runs_on_this_node(context)}"
    return run_job(number, overrides, [*context.hydra_words, at_a_time])


def _runs_on_this_node(context: JobContext) -> int:
    """Compute how many jobs Ray runs at a time on the node of this process."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    node = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == here)
    counts = [int(node.get(name, 0) // amount) for name, amount in context.resources.items()]
    return max(1, min([context.jobs, *counts]))
