"""The points where a run can be killed: before each file operation, in the middle of each write, and at each event of
the training. Patched into a forked process; the program has no hook for it. Instead of a kill, the process may get
SIGTERM, or a full disk from that point on.
"""

import builtins
import errno
import io
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from semisup.runner import run
from semisup.runtime import temporary_files

WRITING = os.O_WRONLY | os.O_RDWR
ON_PATHS = ("replace", "rename", "link", "unlink", "truncate", "mkdir", "utime")
"""Functions of the module os; the last path is the one that changes."""

NEED_ROOM = ("write", "fsync", "mkdir")
"""Operations that fail on a full disk."""


EVENTS = {kind: f"os.{kind}" for kind in ON_PATHS} | {"open": "open", "replace": "os.rename", "unlink": "os.remove"}
"""Kind of point -> name of its event in Python's audit hooks."""


class Point(NamedTuple):
    """kind: step, open, write, fsync or one of ON_PATHS; what: the event, or the file without its numbers."""

    kind: str
    what: str


@dataclass
class Points:
    """Counts the points of this process below `root`.

    kill_at: the number of the point at which to die, or None
    torn: at a write, die when half of it is written, else before it
    harm: "kill", "ask to stop" (SIGTERM), or "full disk"
    tell: called with each point before it happens
    record: called with each operation before it happens, or None
    """

    root: Path
    kill_at: int | None
    torn: bool
    tell: Callable[[Point], None]
    record: Callable[[str, str, str, bytes], None] | None = None
    harm: str = "kill"
    count: int = 0
    targets: dict[str, Path] = field(default_factory=dict)  # temporary file -> what it is written for

    def reached(self, kind: str, what: str) -> bool:
        """Report a point, and die here if it is the chosen one; returns whether to die in the middle of it."""
        here = self.count == self.kill_at
        self.count += 1
        self.tell(Point(kind, what))
        later = self.kill_at is not None and self.count > self.kill_at + 1
        if self.harm == "full disk" and later and kind in NEED_ROOM:
            self.hurt()
        if here and not (self.torn and kind == "write"):
            self.hurt()
        return here

    def hurt(self) -> None:
        """Apply the harm.

        Raises:
            OSError: the disk is full.
        """
        if self.harm == "full disk":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.harm == "ask to stop":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            die()

    def at(self, kind: str, path: object, other: object = "", data: bytes = b"") -> bool:
        """Report an operation on a file, if the file is below the root.

        Args:
            path: of the file, or its descriptor.
            other: what it becomes or is linked to.
            data: what is written to it.
        """
        name = self.name(other or path)
        if name is None:
            return False
        if self.record is not None:
            self.record(kind, str(_path(path)), str(_path(other)) if other else "", bytes(data))
        return self.reached(kind, name)

    def name(self, path: object) -> str | None:
        """The name of the file in the run directory without numbers; None if it is elsewhere."""
        whole = _path(path)
        whole = self.targets.get(str(whole), whole)
        if not whole.is_relative_to(self.root):
            return None
        parts = whole.relative_to(self.root).parts[2:]  # below outputs/NAME/RUN
        return re.sub(r"-\d{8}-[0-9a-f]{16}\.pt$", "", "/".join(parts)) or "the run directory"

    def audit(self, event: str, details: tuple[Any, ...]) -> bool:
        """Whether an audit hook's event changes files below the root."""
        if event not in EVENTS.values() or not isinstance(details[0], str | bytes | os.PathLike):
            return False
        if event == "open" and not int(details[2] or 0) & WRITING:
            return False
        return _path(details[1] if event in ("os.rename", "os.link") else details[0]).is_relative_to(self.root)

    def install(self) -> None:
        """Patch this process."""
        opened, opened_low, beside, trained = builtins.open, os.open, temporary_files.temporary_path, run.train

        def low(path: Any, flags: int, *rest: Any, **more: Any) -> int:
            if flags & WRITING:
                self.at("open", path)
            return opened_low(path, flags, *rest, **more)

        def high(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
            if not set(mode) & set("wax+") or self.name(file) is None:
                return opened(file, mode, *rest, **more)
            if not isinstance(file, int):
                self.at("open", file)
            return Watched(self, opened(file, mode, *rest, **more), file)

        def aside(path: Path) -> Path:
            temporary = beside(path)
            self.targets[str(_path(temporary))] = _path(path)
            return temporary

        def train(*words: Any) -> Iterator[Any]:
            for event in trained(*words):
                self.reached("step", type(event).__name__)
                yield event

        def watched(kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
            def inner(*paths: Any, **more: Any) -> Any:
                self.at(kind, paths[0], paths[1] if kind in ("replace", "rename", "link") else "")
                return call(*paths, **more)

            return inner

        builtins.open = io.open = high  # type: ignore[assignment]
        os.open, temporary_files.temporary_path, run.train = low, aside, train  # type: ignore[assignment]
        for kind in (*ON_PATHS, "fsync"):
            setattr(os, kind, watched(kind, getattr(os, kind)))


class Watched:
    """A file open for writing; each write is a point and is flushed at once."""

    def __init__(self, points: Points, file: Any, target: object) -> None:
        self._points, self._file, self._target = points, file, target

    def write(self, data: Any) -> int:
        written = 0
        if self._points.at("write", self._target, data=data):
            written = int(self._file.write(data[: len(data) // 2]))
            self._file.flush()
            self._points.hurt()
            data = data[len(data) // 2 :]
        written += int(self._file.write(data))
        self._file.flush()
        return written

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _path(path: Any) -> Path:
    """The absolute path of a path, of a descriptor, or of a path through the descriptor of a directory."""
    name = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.path.abspath(os.fsdecode(path))
    if match := re.match(r"/proc/(?:self|\d+)/fd/\d+(?=/|$)", name):
        name = os.readlink(match[0]) + name[match.end() :]
    return Path(name)


def die() -> None:
    """Die by SIGKILL: nothing of this process runs any more."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
