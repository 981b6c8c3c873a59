"""Show progress bars on standard error if it is a terminal, and below the cell in a notebook."""

import io
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from semisup.core.events import EpochEnd, EvalEnd, Event, StepEnd
from semisup.core.events import Progress as ProgressEvent
from semisup.runner.notebook_output import NotebookOutput
from semisup.training.settings import TrainSettings

T = TypeVar("T")

NOTEBOOK_WIDTH = 100
"""Width of the progress bars in a notebook, in characters."""


class Bars:
    """Context manager; in its body, progress bars can be shown."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.notebook = NotebookOutput() if console.is_jupyter else None
        self.training: TaskID | None = None
        self.inner: TaskID | None = None

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()
        if self.notebook is not None:
            self.notebook.clear()

    def _show_in_notebook(self) -> None:
        if self.notebook is not None and self.notebook.is_due():
            page = Console(file=io.StringIO(), width=NOTEBOOK_WIDTH, force_jupyter=False, color_system=None)
            page.print(self.progress.get_renderable())
            self.notebook.show(page.file.getvalue())  # type: ignore[attr-defined]

    def watch(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
        """Yield the items, and show a progress bar meanwhile.

        Args:
            items: the items, such as decoded images.
            description: text before the bar.
            total: number of items.
        """
        task = self.progress.add_task(description, total=total)
        for item in items:
            yield item
            self.progress.advance(task)
            self._show_in_notebook()
        self.progress.remove_task(task)

    def begin(self, name: str, plan: TrainSettings) -> None:
        """Show the progress bar of a training.

        Args:
            name: text before the bar.
            plan: settings of the training, for the number of steps or epochs.
        """
        self.end()
        self.training = self.progress.add_task(name[:34], total=plan.steps or plan.epochs)

    def end(self) -> None:
        """Remove the progress bars of a training."""
        for task in (self.training, self.inner):
            if task is not None:
                self.progress.remove_task(task)
        self.training = self.inner = None

    def add(self, event: Event, plan: TrainSettings) -> None:
        """Update the progress bars after an event of the training."""
        if self.training is None:
            return
        if isinstance(event, StepEnd) and plan.steps is not None:
            self.progress.update(self.training, completed=event.step)
        elif isinstance(event, EpochEnd) and plan.steps is None:
            self.progress.update(self.training, completed=event.epoch)
        elif isinstance(event, EvalEnd):
            accuracy = event.metrics.get("val/accuracy")
            result = "refit" if accuracy is None else f"validation {accuracy:.3f}"
            self.progress.update(self.training, description=f"epoch {event.epoch}, {result}")
        elif isinstance(event, ProgressEvent) and event.total:
            self._update_inner(event)
        self._show_in_notebook()

    def _update_inner(self, event: ProgressEvent) -> None:
        if self.inner is None:
            self.inner = self.progress.add_task(event.phase, total=event.total)
        unfinished = event.done < event.total
        self.progress.update(
            self.inner, description=event.phase, completed=event.done, total=event.total, visible=unfinished
        )
