"""Choose the jobs that a sweep runs next: all at once, or in batches that depend on earlier results."""

from collections.abc import Iterable, Iterator
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from semisup.sweep.halving import halving_batches
from semisup.sweep.job_store import JobStore
from semisup.sweep.search import search_batches


def job_batches(sweeper: dict[str, Any], store: JobStore) -> Iterator[list[int]]:
    """Yield batches of jobs to run, each as a list of job indices (from 0).

    The jobs of a batch may run in parallel. All of them must end before the next batch is requested.

    Args:
        sweeper: name and settings of the sweeper, such as {"name": "halving", "rungs": [0.2], "eta": 3}.
        store: record of the jobs.
    """
    settings = dict(sweeper)
    name = settings.pop("name")
    if name == "halving":
        return halving_batches(store, **settings)
    if name == "search":
        return search_batches(store, **settings)
    return iter([store.missing_jobs()])


def launch_batches(batches: Iterable[list[list[str]]]) -> None:
    """Make Hydra's default sweeper launch these batches instead of all combinations of the swept values.

    Args:
        batches: for each batch, the overrides of each of its jobs. A batch is requested after the jobs of the previous
            batch have ended.
    """

    def begin(self: BasicSweeper, **settings: Any) -> None:
        """Replace the constructor of Hydra's sweeper: accept the settings of any sweeper, and ignore them."""

    def sweep(self: BasicSweeper, arguments: list[str]) -> None:
        assert self.launcher is not None
        first = 0
        for batch in batches:
            if batch:
                for result in self.launcher.launch(batch, initial_job_idx=first):
                    result.return_value  # noqa: B018  # raises the error of a failed job
                first += len(batch)

    for name, method in (("__init__", begin), ("sweep", sweep)):
        setattr(BasicSweeper, name, method)
