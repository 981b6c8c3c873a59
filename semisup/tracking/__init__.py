"""Trackers: services such as W&B that show the metrics of runs, in addition to the run directory.

A failure of a tracker never stops a training.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semisup.core.events import MetricsRow


@dataclass(frozen=True)
class RunInfo:
    """Name, folder and config of a run, for a tracker.

    run_id: unique in the project and readable; letters, digits, `.`, `_`, `-`
    name: name of the run in charts
    group: sweep or experiment that the run belongs to
    job_type: the command: train, reproduce or compare
    tags: labels to search for
    folder: directory named `wandb` that the tracker writes to, shared by all runs
    config: plain data without secrets, which is uploaded
    defaults: default values of the tracker's settings; an environment variable such as WANDB_PROJECT is used only for
        a setting that has its default value
    """

    run_id: str
    name: str
    group: str
    job_type: str
    tags: tuple[str, ...]
    folder: Path
    config: dict[str, Any]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.folder.name == "wandb", self.folder


class Tracker(ABC):
    """A run that is open in a tracker. The methods raise no exceptions and do not change their arguments."""

    wanted_thumbnails: int = 0
    """Number of the most confident pseudo-labels, and of the least confident ones, that `thumbnails` shows."""

    @abstractmethod
    def row(self, row: MetricsRow) -> None:
        """Log one row of metrics.jsonl; values that are None, NaN or infinite are left out."""

    @abstractmethod
    def plots(self, plots: dict[str, Path]) -> None:
        """Log image files under the names `plots/<name>`.

        Args:
            plots: name -> path of a PNG.
        """

    @abstractmethod
    def thumbnails(self, name: str, columns: list[str], rows: list[list[object]], images: NDArray[np.uint8]) -> None:
        """Log a table with images in its first column, `image`.

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
        """Close the run; after this, all methods do nothing.

        Args:
            summary: metrics by name, as in summary.json.
            exit_code: 0 if the run finished, another number if it failed.
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
