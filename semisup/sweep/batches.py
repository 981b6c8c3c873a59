"""Choose the jobs that a sweep runs next: all jobs of a grid at once, or batches that depend on earlier results."""

from collections.abc import Iterable, Iterator
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from semisup.sweep.halving import halving_batches
from semisup.sweep.job_store import JobStore
from semisup.sweep.search import search_batches


def job_batches(sweeper: dict[str, Any], store: JobStore) -> Iterator[list[int]]:
    """Yield lists of job numbers; the jobs of a list may run in parallel, and must end before the next list.

    Args:
        sweeper: name and settings of the sweeper.
    """
    settings = dict(sweeper)
    name = settings.pop("name")
    if name == "halving":
        return halving_batches(store, **settings)
    if name == "search":
        return search_batches(store, **settings)
    return iter([store.missing_jobs()])


def launch_batches(batches: Iterable[list[list[str]]]) -> None:
    """Make Hydra's default sweeper launch these batches, in place of all combinations of the swept values.

    Args:
        batches: the overrides of every job of a batch; read lazily, after the jobs of the batch before have ended.
    """

    def begin(self: BasicSweeper, **settings: Any) -> None:
        """Accept the settings of all sweepers; the batches depend on them."""

    def sweep(self: BasicSweeper, arguments: list[str]) -> None:
        assert self.launcher is not None
        first = 0
        for batch in batches:
            if batch:
                self.validate_batch_is_legal(batch)
                for result in self.launcher.launch(batch, initial_job_idx=first):
                    result.return_value  # noqa: B018  # raises the error of a failed job
                first += len(batch)

    for name, method in (("__init__", begin), ("sweep", sweep)):
        setattr(BasicSweeper, name, method)
