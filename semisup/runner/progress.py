"""Progress bars on the error stream of a terminal; silence where there is none."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from semisup.core.events import EpochEnd, EvalEnd, Event, StepEnd
from semisup.core.events import Progress as ProgressEvent
from semisup.training.state import TrainSettings

T = TypeVar("T")


class Bars:
    """One bar for the training, and one below it for whatever is read or scored."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.training: TaskID | None = None
        self.other: TaskID | None = None

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def watch(self, items: Iterable[T], description: str, total: int, /) -> Iterable[T]:
        """The items, with a bar of their own while they last."""
        task = self.progress.add_task(description, total=total)
        for item in items:
            yield item
            self.progress.advance(task)
        self.progress.remove_task(task)

    def begin(self, name: str, plan: TrainSettings) -> None:
        self.end()
        self.training = self.progress.add_task(name[:34], total=plan.steps or plan.epochs)

    def end(self) -> None:
        for task in (self.training, self.other):
            if task is not None:
                self.progress.remove_task(task)
        self.training = self.other = None

    def add(self, event: Event, plan: TrainSettings) -> None:
        """Move the bars."""
        if self.training is None:
            return
        if isinstance(event, StepEnd) and plan.steps is not None:
            self.progress.update(self.training, completed=event.step)
        elif isinstance(event, EpochEnd) and plan.steps is None:
            self.progress.update(self.training, completed=event.epoch)
        elif isinstance(event, EvalEnd):
            accuracy = event.metrics["val/accuracy"]
            self.progress.update(self.training, description=f"epoch {event.epoch}, validation {accuracy:.3f}")
        elif isinstance(event, ProgressEvent) and event.total:
            self._score(event)

    def _score(self, event: ProgressEvent) -> None:
        if self.other is None:
            self.other = self.progress.add_task(event.phase, total=event.total)
        doing, going_on = event.phase, event.done < event.total
        self.progress.update(self.other, description=doing, completed=event.done, total=event.total, visible=going_on)
