"""Simulate power loss: every disk state that the recorded operations of a run may leave.

The content of a file is durable once the file was synced; a name that was created, changed or removed is durable once
its directory was synced. Everything else may be there or not: contents whole, half or empty, names in any subset. That
covers more than any one file system does (as in ALICE, Pillai et al., OSDI 2014).
"""

import itertools
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semisup.errors import RecordError
from semisup.record import checkpoint
from tests.kill.attempt import Operation

MOST_PENDING = 7
Names = dict[str, int]  # path -> number of the content


@dataclass
class Disk:
    """A simulated disk.

    sure: durable names; pending: changes of names that are not durable, by directory
    contents: of every file ever created, the durable part and all of it
    """

    root: str
    sure: Names = field(default_factory=dict)
    seen: Names = field(default_factory=dict)
    pending: list[tuple[str, dict[str, int | None]]] = field(default_factory=list)
    contents: list[tuple[bytes, bytes]] = field(default_factory=list)

    def do(self, operation: Operation) -> None:
        kind, path, other, data = operation
        new = path not in self.seen and self._there(os.path.dirname(path), self.seen)
        if kind in ("open", "mkdir") and new:
            self.contents.append((b"", b""))
            self._name({path: len(self.contents) - 1})
        elif kind == "write":
            sure, whole = self.contents[self.seen[path]]
            self.contents[self.seen[path]] = sure, whole + data
        elif kind == "fsync" and path in self.seen and self.contents[self.seen[path]][1]:
            whole = self.contents[self.seen[path]][1]
            self.contents[self.seen[path]] = whole, whole
        elif kind == "fsync":
            self._sync(path)
        elif kind in ("replace", "rename"):
            self._name({other: self.seen[path], path: None})
        elif kind == "link":
            self._name({other: self.seen[path]})
        elif kind == "unlink" and path in self.seen:
            self._name({path: None})

    def _name(self, change: dict[str, int | None]) -> None:
        self.pending.append((os.path.dirname(next(iter(change))), change))
        _apply(self.seen, change)

    def _sync(self, folder: str) -> None:
        for place, change in self.pending:
            if place == folder:
                _apply(self.sure, change)
        self.pending = [each for each in self.pending if each[0] != folder]

    def states(self) -> Iterator[dict[str, bytes]]:
        """Yield every directory that may exist now: path -> content."""
        older = len(self.pending) - MOST_PENDING  # if so many are not sure, these are there or not as one
        groups = [self.pending[:older], *([each] for each in self.pending[older:])] if older > 0 else None
        each_alone = [[each] for each in self.pending]
        for chosen in itertools.product((True, False), repeat=len(groups or each_alone)):
            names = dict(self.sure)
            for group, there in zip(groups or each_alone, chosen, strict=True):
                for _, change in group if there else ():
                    _apply(names, change)
            here = {path: number for path, number in names.items() if self._there(os.path.dirname(path), names)}
            for share in (1.0, 0.5, 0.0):
                yield {path: _torn(*self.contents[number], share) for path, number in here.items()}

    def _there(self, folder: str, names: Names) -> bool:
        """Whether a directory is reachable."""
        return folder == self.root or (folder in names and self._there(os.path.dirname(folder), names))


def _apply(names: Names, change: dict[str, int | None]) -> None:
    for path, number in change.items():
        if number is None:
            names.pop(path, None)
        else:
            names[path] = number


def _torn(sure: bytes, whole: bytes, share: float) -> bytes:
    return sure + whole[len(sure) : len(sure) + int(share * (len(whole) - len(sure)))]


def outages(operations: Sequence[Operation], root: Path, scratch: Path) -> tuple[int, str]:
    """Lose power after each operation; return the number of different disks, and the problem or "".

    Nothing that a completed save holds may be lost.
    """
    disk, looked_at, saved = Disk(str(root)), set(), 0
    for operation in operations:
        if operation.kind == "saved":
            saved = int(operation.path)
            continue
        disk.do(operation)
        for state in disk.states():
            relevant = {path: data for path, data in state.items() if not path.endswith(".tmp")}
            key = (saved, frozenset(relevant.items()))
            if key in looked_at:
                continue
            looked_at.add(key)
            if wrong := _wrong(relevant, saved, scratch):
                return len(looked_at), f"after {operation.kind} of {operation.path}: {wrong}"
    return len(looked_at), ""


def _wrong(state: dict[str, bytes], saved: int, scratch: Path) -> str:
    """Check that the run would resume from the step `saved` or a later one, with complete logs."""
    shutil.rmtree(scratch, ignore_errors=True)
    folder = scratch / "checkpoints"
    folder.mkdir(parents=True)
    logs: dict[str, int] = {}
    for path, data in state.items():
        if "/checkpoints/" in path and path.endswith(".pt"):
            (folder / os.path.basename(path)).write_bytes(data)
        logs[os.path.basename(path)] = data.count(b"\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = checkpoint.load_state(folder)
    except RecordError as error:
        return str(error)
    step, lines = (found[0]["step"], found[1]) if found else (0, {})
    if step < saved:
        return f"step {saved} was saved, and {step} is there"
    short = [name for name, count in lines.items() if logs.get(name, 0) < count]
    return f"the state of step {step} is there, and not all of {short}" if short else ""
