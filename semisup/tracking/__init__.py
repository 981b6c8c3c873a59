"""Trackers: services that show a run, beside its run directory. A tracker never stops a training."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semisup.core.events import MetricsRow


@dataclass(frozen=True)
class RunInfo:
    """Identity of a run in a tracker.

    run_id: unique in the project and readable; letters, digits, `.`, `_`, `-`
    name: name of the run in charts
    group: sweep or experiment of the run
    job_type: command: train, reproduce or compare
    tags: labels to search for
    folder: folder that the tracker writes to, shared by all runs; W&B requires the name `wandb`
    config: plain data without secrets, which is uploaded
    """

    run_id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    folder: Path
    config: dict[str, Any]

    def __post_init__(self) -> None:
        assert self.folder.name == "wandb", self.folder


class Tracker(ABC):
    """An open run. No method raises an exception or changes its arguments."""

    wanted_thumbnails: int = 0
    """Number of most confident, and of least confident, pseudo-labels that `thumbnails` shows."""

    @abstractmethod
    def row(self, row: MetricsRow) -> None:
        """Log one row of metrics.jsonl, without None and values that are not finite."""

    @abstractmethod
    def plots(self, plots: dict[str, Path]) -> None:
        """Log PNG files as `plots/<name>`."""

    @abstractmethod
    def thumbnails(self, name: str, columns: list[str], rows: list[list[object]], images: NDArray[np.uint8]) -> None:
        """Log a table of images, which are its first column, `image`.

        Args:
            name: name of the table.
            columns: names of the other columns.
            rows: n rows, with one value for each of `columns`.
            images: (n, C, S, S) uint8, C = 1 or 3.
        """

    @abstractmethod
    def table(self, name: str, columns: list[str], rows: list[list[object]]) -> None:
        """Log a table; each row has one value for each of `columns`."""

    @abstractmethod
    def close(self, summary: dict[str, object], exit_code: int) -> None:
        """Close the run; later calls have no effect.

        Args:
            summary: metrics by name, as in summary.json.
            exit_code: 0 = finished, else failed.
        """


class NullTracker(Tracker):
    """A tracker that does nothing."""

    def row(self, row: MetricsRow) -> None:
        pass

    def plots(self, plots: dict[str, Path]) -> None:
        pass

    def thumbnails(self, name: str, columns: list[str], rows: list[list[object]], images: NDArray[np.uint8]) -> None:
        pass

    def table(self, name: str, columns: list[str], rows: list[list[object]]) -> None:
        pass

    def close(self, summary: dict[str, object], exit_code: int) -> None:
        pass
