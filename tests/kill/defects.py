"""Planted defects: each breaks something in the process that calls it, and an oracle must detect it."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semisup.method import TrainingContext
from semisup.record import append_log as logs
from semisup.record import checkpoint, locked_directory, writer
from semisup.record.writer import RunWriter
from semisup.runner import run as run_module
from semisup.runtime import atomic_files
from semisup.training import loop
from semisup.training.state import State

Snapshot = dict[str, Any]
Defect = Callable[[], None]


@dataclass(frozen=True)
class Planted:
    """run: the run of RUNS that shows it; judge: the test that must detect it: kills, damage, or power."""

    name: str
    plant: Defect
    run: str = "fixmatch"
    judge: str = "kills"


def after_restore(change: Callable[[State, Snapshot], None]) -> Defect:
    """Change the state after it is restored."""

    def plant() -> None:
        restore = run_module.restore

        def broken(state: State, snapshot: Snapshot) -> None:
            fresh = {name: value.clone() for name, value in state.memory.items()}
            restore(state, snapshot)
            change(state, snapshot | {"fresh": fresh})

        run_module.restore = broken

    return plant


def counter(name: str) -> Defect:
    return after_restore(lambda state, _: setattr(state, name, 0))


def memory(*prefixes: str) -> Defect:
    """Reset the method's memory under these prefixes."""

    def forget(state: State, snapshot: Snapshot) -> None:
        lost = {name: value for name, value in snapshot["fresh"].items() if name.startswith(prefixes)}
        assert lost, (prefixes, list(snapshot["fresh"]))
        state.memory = state.memory | lost

    return after_restore(forget)


def generator_without_state() -> None:
    """Draw from one generator of the process, as from torch's global one; its state is not saved."""
    one = torch.Generator().manual_seed(0)
    vars(sys.modules[TrainingContext.__module__])["torch_generator"] = lambda *_: one


def average_is_the_student(state: State, snapshot: Snapshot) -> None:
    assert state.average is not None
    state.average.load_state_dict(snapshot["student"])


def no_moments(state: State, snapshot: Snapshot) -> None:
    state.optimizer.state.clear()


def fresh_buffers(state: State, snapshot: Snapshot) -> None:
    for layer in state.student.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()


def no_best(state: State, snapshot: Snapshot) -> None:
    state.best = None


def no_sums(state: State, snapshot: Snapshot) -> None:
    state.running_sums = torch.zeros_like(state.running_sums)


def schedule_from_the_start() -> None:
    """Compute the learning rate from the steps of this process."""
    place, restore, began = loop._current_position, run_module.restore, [0]

    def restored(state: State, snapshot: Snapshot) -> None:
        restore(state, snapshot)
        began[0] = state.step

    def placed(plan: Any, state: State, steps: int) -> Any:
        true = place(plan, state, steps)
        return true._replace(progress=(state.step - began[0]) / plan.steps)

    run_module.restore, loop._current_position = restored, placed


def no_cut() -> None:
    """Keep the lines after the last save, so that they are repeated."""

    def keep_all(log: logs.AppendLog, lines: int) -> None:
        log.lines = lines

    logs.AppendLog.truncate = keep_all  # type: ignore[method-assign]


def cut_of_one_log_only() -> None:
    resume = RunWriter.resume

    def broken(record: RunWriter) -> Any:
        whole, record.logs = record.logs, record.logs[:1]
        try:
            return resume(record)
        finally:
            record.logs = whole

    RunWriter.resume = broken  # type: ignore[method-assign]


def in_place() -> None:
    """Write files in place."""

    def write(path: Path, *chunks: bytes | memoryview, **_: Any) -> None:
        with open(path, "wb") as file:
            file.write(b"".join(chunks))

    atomic_files.write_atomically = write
    for module in (checkpoint, locked_directory):
        module.write_atomically = write  # type: ignore[attr-defined]
    import semisup.record

    semisup.record.write_atomically = write  # type: ignore[attr-defined]


def no_digest() -> None:
    """Do not check the digest."""
    checkpoint.load = lambda path: torch.load(path, map_location="cpu", weights_only=True)


def delete_first() -> None:
    """Delete the old states before the new one is written."""
    save = checkpoint.save

    def broken(place: Path, kind: str, step: int, content: Snapshot, *rest: Any) -> Path:
        if kind == "last":
            for path in checkpoint.newest(place, "last"):
                path.unlink()
        return save(place, kind, step, content, *rest)

    checkpoint.save = broken


def oldest_state() -> None:
    newest = checkpoint.newest
    checkpoint.newest = lambda place, kind: newest(place, kind)[::-1]


def restart_in_silence() -> None:
    """Start again silently if no state is usable."""
    load = checkpoint.load_state

    def broken(place: Path) -> Any:
        try:
            return load(place)
        except ValueError:
            return None

    checkpoint.load_state = broken


def summary_first() -> None:
    """Write summary.json before the status."""
    finish = RunWriter.finish

    def broken(record: RunWriter, event: Any, plots: list[str]) -> Any:
        locked_directory.write_json(record.folder / "summary.json", {**event.summary, "confusion": event.confusion})
        return finish(record, event, plots)

    RunWriter.finish = broken  # type: ignore[method-assign]


def leftovers_stay() -> None:
    writer.remove_stale_temporary_files = lambda _: 0


def saved_before_it_is_whole() -> None:
    """Save also between an evaluation and what follows from it."""
    due = run_module._save_if_due

    def broken(checked: Any, event: Any, state: State, record: RunWriter, stop: Any) -> None:
        if type(event).__name__ == "EvalEnd":
            record.save(state.snapshot())
        due(checked, event, state, record, stop)

    run_module._save_if_due = broken


def shared_storage() -> None:
    """Save half of the weights as of the previous save."""
    save, before = RunWriter.save, {}

    def broken(record: RunWriter, snapshot: Snapshot) -> None:
        now = {name: value.clone() for name, value in snapshot["student"].items()}
        save(record, snapshot | {"student": snapshot["student"] | before})
        before.update({name: value for name, value in now.items() if name.endswith("weight")})

    RunWriter.save = broken  # type: ignore[method-assign]


def no_fsync_of(kind: Callable[[int], bool]) -> Defect:
    def plant() -> None:
        sync = os.fsync
        os.fsync = lambda descriptor: None if kind(descriptor) else sync(descriptor)  # type: ignore[assignment,arg-type]

    return plant


def _is_folder(descriptor: int) -> bool:
    return os.path.isdir(f"/proc/self/fd/{descriptor}")


def _is_log(descriptor: int) -> bool:
    return os.readlink(f"/proc/self/fd/{descriptor}").endswith((".jsonl", ".csv"))


def _is_state(descriptor: int) -> bool:
    return not _is_folder(descriptor) and not _is_log(descriptor)


def _rounded(value: Any) -> Any:
    return value.bfloat16().to(value.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def saved_rounded() -> None:
    """Save the weights in half precision."""
    save = RunWriter.save

    def broken(record: RunWriter, snapshot: Snapshot) -> None:
        student = {name: _rounded(value) for name, value in snapshot["student"].items()}
        save(record, snapshot | {"student": student})

    RunWriter.save = broken  # type: ignore[method-assign]


def best_of_the_process(state: State, snapshot: Snapshot) -> None:
    """Replace the best model's weights by the current ones."""
    if state.best is not None:
        weights = {name: value.detach().clone() for name, value in state.teacher.state_dict().items()}
        state.best = replace(state.best, weights=weights)


DEFECTS = (
    Planted("draws from a generator whose state is not saved", generator_without_state),
    Planted("the average of the weights forgotten", after_restore(average_is_the_student)),
    Planted("the optimizer's moments forgotten", after_restore(no_moments)),
    Planted("the schedule starts again", schedule_from_the_start),
    Planted("BatchNorm's statistics forgotten", after_restore(fresh_buffers)),
    Planted("the policy's memory forgotten", memory("policy/")),
    Planted("the pseudo-labels forgotten", memory("index", "targets", "weight"), "self_training"),
    Planted("the round forgotten", memory("round"), "self_training"),
    Planted("the best model forgotten", after_restore(no_best)),
    Planted("the best model's weights replaced", after_restore(best_of_the_process)),
    Planted("the running epoch's sums forgotten", after_restore(no_sums)),
    Planted("the step forgotten", counter("step")),
    Planted("the epoch forgotten", counter("epoch")),
    Planted("the place in the epoch forgotten", counter("position"), "self_training"),
    Planted("the count of labeled steps forgotten", counter("labeled_steps")),
    Planted("the last evaluation forgotten", counter("last_eval_step")),
    Planted("weights saved in half precision", saved_rounded),
    Planted("a part of the weights of the save before", shared_storage),
    Planted("saved between an evaluation and what follows", saved_before_it_is_whole, "self_training"),
    Planted("logs not cut", no_cut),
    Planted("only the first log cut", cut_of_one_log_only, "self_training"),
    Planted("files written in place", in_place),
    Planted("old states deleted before the new one is written", delete_first),
    Planted("the oldest state taken", oldest_state),
    Planted("finished before its status says so", summary_first),
    Planted("half-written files never removed", leftovers_stay),
    Planted("the digest not checked", no_digest, judge="damage"),
    Planted("begins again where no state can be used", restart_in_silence, judge="damage"),
    Planted("states not flushed", no_fsync_of(_is_state), judge="power"),
    Planted("folders not flushed", no_fsync_of(_is_folder), judge="power"),
    Planted("logs not flushed", no_fsync_of(_is_log), judge="power"),
)
