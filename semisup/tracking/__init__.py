"""What a run is shown in, beside its own record: a mirror takes what it is given and never stops a training."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semisup.core.events import MetricsRow


@dataclass(frozen=True)
class RunInfo:
    """What a mirror is opened with.

    run_id: unique in the project and readable; letters, digits, `.`, `_`, `-`
    name: what charts call the run
    group: the sweep or experiment it belongs to
    job_type: what was done: train, reproduce, compare
    tags: words to find it by
    folder: where the mirror writes, one for all runs; W&B wants it to be called `wandb`
    config: plain data, without secrets: all of it is shown
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
    """An open run. No method raises, and none changes what it is given."""

    wanted_thumbnails: int = 0
    """The most confident, and as many of the least confident, pseudo-labels that are worth preparing."""

    @abstractmethod
    def row(self, row: MetricsRow) -> None:
        """Show one line of metrics, as in metrics.jsonl; a None, and what is not finite, is left out."""

    @abstractmethod
    def plots(self, plots: dict[str, Path]) -> None:
        """Show PNG files, each as `plots/<name>`."""

    @abstractmethod
    def thumbnails(self, name: str, columns: list[str], rows: list[list[object]], images: NDArray[np.uint8]) -> None:
        """Show a table whose first column, `image`, is the picture.

        Args:
            name: of the table.
            columns: names of the other columns.
            rows: n rows of one value for each of `columns`.
            images: (n, C, S, S) uint8, C = 1 or 3.
        """

    @abstractmethod
    def table(self, name: str, columns: list[str], rows: list[list[object]]) -> None:
        """Show a table of plain values; rows of one value for each of `columns`."""

    @abstractmethod
    def close(self, summary: dict[str, object], exit_code: int) -> None:
        """End the run; later calls do nothing.

        Args:
            summary: flat names and plain numbers as in summary.json, `best/...` among them.
            exit_code: 0 = finished, else failed.
        """


class NullTracker(Tracker):
    """Shows nothing."""

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
