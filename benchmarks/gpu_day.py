"""`python -m benchmarks.gpu_day --minutes 12`: run all GPU measurements within this time, most important first.

resident     FixMatch steps with the images on the device: images per second, idle share of the device, and the time
             divided by that of the bare step (the minimum that FixMatch needs, see benchmarks/steps.py)
host         the same with the unlabeled images in host memory
float32      the same in float32
compiled     compile=true
encoding     images encoded by the encoder lite0
ddp          a run with two processes and nccl, if there are two GPUs
cifar10      FixMatch on CIFAR-10 with 40 and with 250 labels, for the remaining time, if the data are there

Each result is written to --output at once, as one line of JSON, so that a stopped program loses no result. The run on
CIFAR-10 continues with the next call. `--dry-run` tests the program on a CPU with tiny sizes.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import semisup
from benchmarks import gpu
from benchmarks.clock import Plan
from benchmarks.inputs import Shape, checked
from benchmarks.process import begin
from semisup.errors import DataError, SettingError, first_line
from semisup.record.append_log import AppendLog
from semisup.record.environment import environment

Row = dict[str, Any]

NEEDED_MINUTES = {"compiled": 2.0, "ddp": 1.5, "cifar10": 2.0}
"""Part -> minutes that must be left to start it; 0.5 for all other parts."""

LABELS_PER_CLASS = (4, 25)
RECIPE = ("experiment=fixmatch_cifar10", "tracking=none", "plots=false")
DRY_RECIPE = ("tracking=none", "plots=false", "method=fixmatch", "dataset=digits", "model.widths=[4,8]")
SHARE_OF_TRAINING = 0.85
"""Part of the time of a run on CIFAR-10 that is planned for training; the rest is for reading data and evaluations."""

POLL_SECONDS = 2.0


class Day:
    """Options and state of the program: the deadline, the file of the results, and the device."""

    def __init__(self, minutes: float, output: Path, root: str, *, dry_run: bool) -> None:
        self.deadline, self.root, self.dry_run = time.monotonic() + 60 * minutes, root, dry_run
        self.device = "cpu" if dry_run else "cuda"
        self.steps_per_second = 0.0  # of `resident`
        self.runs = output.parent
        self.runs.mkdir(parents=True, exist_ok=True)
        self._log, self._lock = AppendLog(output), threading.Lock()

    def minutes_left(self) -> float:
        return (self.deadline - time.monotonic()) / 60

    def write(self, row: Row) -> None:
        """Append a line to the results and print it."""
        with self._lock:
            self._log.append(json.dumps(row) + "\n")
            self._log.sync()
            self._log.close()
            print(json.dumps(row), flush=True)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.gpu_day", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=12, help="time limit of everything (12)")
    parser.add_argument("--output", type=Path, default=Path("outputs/gpu_day/results.jsonl"))
    parser.add_argument("--root", default="data", help="folder with cifar-10-batches-py/ (data)")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on a CPU")
    options = parser.parse_args(words)
    if not options.dry_run and (reason := gpu.why_not()):
        parser.error(f"{reason}; --dry-run tries everything on the CPU")
    begin()
    day = Day(options.minutes, options.output, options.root, dry_run=options.dry_run)
    day.write({"part": "machine", "dry_run": day.dry_run, **environment(day.device)})
    if day.dry_run:
        _shrink()
    try:
        for name, part in _parts().items():
            _run_part(day, name, part)
    except KeyboardInterrupt:
        day.write({"part": "end", "stopped": True})
        return 130
    day.write({"part": "end", "minutes_left": round(day.minutes_left(), 2)})
    return 0


def _parts() -> dict[str, Callable[[Day], Iterator[Row]]]:
    measured = {name: _measurement(name) for name in gpu.PARTS}
    return {**measured, "ddp": _ddp, "cifar10": _cifar10}


def _run_part(day: Day, name: str, part: Callable[[Day], Iterator[Row]]) -> None:
    """Run one group of measurements and write its results, or why there are none: an error, or too little time."""
    needed = 0.0 if day.dry_run else NEEDED_MINUTES.get(name, 0.5)
    if day.minutes_left() < needed or day.minutes_left() < 0:
        day.write({"part": name, "skipped": f"{max(day.minutes_left(), 0):.1f} minutes are left, it needs {needed:g}"})
        return
    began = time.perf_counter()
    try:
        for row in part(day):
            day.write({"part": name, **row, "seconds": round(time.perf_counter() - began, 2)})
    except Exception as error:
        day.write({"part": name, "error": f"{type(error).__name__}: {first_line(error)}"})
    torch.cuda.empty_cache()


def _shrink() -> None:
    """Use tiny sizes on the CPU in place of the GPU, for `--dry-run`."""
    gpu.DEVICE, gpu.SHAPE, gpu.POOL = "cpu", Shape("wide_resnet", (), 8, 4, 2), 40
    gpu.ENCODER = ("encoder=lite0", "model=linear", "encoder.input_size=32")
    gpu.KINDS = {name: tuple(word for word in words if word != "compile=true") for name, words in gpu.KINDS.items()}
    torch.cuda.synchronize = lambda device=None: None
    gpu.kernels = lambda work: [(0.0, 1.0)]


def _measurement(name: str) -> Callable[[Day], Iterator[Row]]:
    def measure(day: Day) -> Iterator[Row]:
        plan = Plan(quick=day.dry_run, rounds=1 if day.dry_run else 5)
        for entry, measured in gpu.PARTS[name](plan):
            row = {"entry": entry, "value": measured.value, "spread": measured.spread, "rounds": measured.rounds}
            if "step" in measured.seconds:
                row["steps_per_second"] = 1 / measured.seconds["step"]
            if entry == "gpu.images_per_second.bfloat16":
                day.steps_per_second = row["steps_per_second"]
            yield row

    return measure


def _ddp(day: Day) -> Iterator[Row]:
    """Train the same run with one and with two processes."""
    gpus = torch.cuda.device_count()
    if gpus < 2 and not day.dry_run:
        yield {"skipped": f"there is {gpus} GPU; two processes need two"}
        return
    recipe = DRY_RECIPE if day.dry_run else (*DRY_RECIPE[:-1], "model=wide_resnet", "dataset.size=32")
    steps = 2 if day.dry_run else 300
    words = [*recipe, f"device={day.device}", f"train.steps={steps}", f"train.evaluate_every_steps={steps}"]
    with tempfile.TemporaryDirectory(prefix="semisup-gpu-day-") as folder:
        for processes in (1, 2):
            torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)] if processes > 1 else []
            name = f"processes{processes}"
            command = [sys.executable, *torchrun, "-m", "semisup", "train", *words, f"output_root={folder}"]
            subprocess.run([*command, f"name={name}"], check=True, capture_output=True, text=True, timeout=240)
            (summary,) = (json.loads(path.read_text()) for path in Path(folder).glob(f"{name}/*/summary.json"))
            yield {"processes": processes, "steps": steps, **_figures(summary)}


def _cifar10(day: Day) -> Iterator[Row]:
    """Train on CIFAR-10, first with 40 labels and then with 250, each in half of the remaining time."""
    recipe = (*DRY_RECIPE, "dataset.labels_per_class=4") if day.dry_run else (*RECIPE, f"dataset.root={day.root}")
    try:
        checked(*recipe).dataset.inspect()
    except (DataError, SettingError) as error:
        yield {"skipped": first_line(error)}
        return
    for position, count in enumerate(LABELS_PER_CLASS):
        seconds = 60 * day.minutes_left() / (len(LABELS_PER_CLASS) - position)
        steps = 4 if day.dry_run else max(100, int(SHARE_OF_TRAINING * seconds * day.steps_per_second))
        words = [*recipe, f"dataset.labels_per_class={count}", f"device={day.device}", f"output_root={day.runs}"]
        words += [f"train.steps={steps}", f"train.evaluate_every_steps={max(1, steps // 10)}", "name=gpu_day"]
        yield {"labels": 10 * count, "planned_steps": steps}
        row = {"labels": 10 * count, "steps": steps}
        with _evaluations(day, row), _time_limit(seconds) as stopped:
            try:
                yield row | _figures(semisup.train(words).summary)
            except KeyboardInterrupt:
                if not stopped.is_set():
                    raise
                yield row | {"stopped": f"after {seconds:.0f} s"}


def _figures(summary: Row) -> Row:
    names = ("best/val/accuracy", "test/accuracy", "total_seconds")
    return {name: summary[name] for name in names if name in summary}


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[threading.Event]:
    """Context manager that stops a run in its body after some seconds, by SIGTERM, so that the run saves its state.

    The value of the context is an event, which is set when the time is over. Outside the training, SIGTERM raises
    KeyboardInterrupt.
    """
    stopped = threading.Event()

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)

    def stop() -> None:
        stopped.set()
        os.kill(os.getpid(), signal.SIGTERM)

    timer = threading.Timer(max(seconds, 0.1), stop)
    timer.daemon = True
    timer.start()
    try:
        yield stopped
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _evaluations(day: Day, row: Row) -> Iterator[None]:
    """Context manager that writes the validation accuracies of a run to the results while its body trains the run."""
    before, ended = set(day.runs.glob("gpu_day/*")), threading.Event()

    def follow() -> None:
        done = 0
        while True:
            last = ended.wait(POLL_SECONDS)
            for folder in set(day.runs.glob("gpu_day/*")) - before:
                done = _write_evaluations(day, row, folder / "metrics.jsonl", done)
            if last:
                return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _write_evaluations(day: Day, row: Row, path: Path, done: int) -> int:
    """Write the evaluations of a run to the results.

    Args:
        path: metrics.jsonl of the run.
        done: number of lines that were written by earlier calls.

    Returns:
        The number of complete lines in the file.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    for line in lines[done:]:
        metrics = json.loads(line)
        if metrics.get("val/accuracy") is not None:
            figures = {"step": metrics.get("step"), "val/accuracy": metrics["val/accuracy"]}
            day.write({"part": "cifar10", "labels": row["labels"], **figures})
    return len(lines)


if __name__ == "__main__":
    raise SystemExit(main())
