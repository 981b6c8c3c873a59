"""One process of a run, forked from a parent that has imported torch.

The run is the real one from `runner.run.run` down; its data are synthetic, its plots are not drawn, and its last states
are kept.
"""

import base64
import gc
import itertools
import json
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure

from semisup.config.schema import RunConfig
from semisup.dataset import Data
from semisup.record.writer import RunWriter
from semisup.report import run_plots
from semisup.runner import run as run_module
from semisup.runner.progress import Bars
from tests.conftest import checked, toy_problem
from tests.kill.points import Point, Points

COMMON = (
    *("name=killed", "model.widths=[4,8]", "train.batch_size=6", "optimizer.lr=0.01", "augment.strength=0.3"),
    *("train.ema_decay=0.5", "device=cpu", "sweep.control=false"),
)
RUNS = {
    "self_training": (
        *(
            "method=self_training",
            "method.gate=0",
            "method.refresh_every=1",
            "threshold=flexmatch",
            "threshold.tau=0.3",
        ),
        *("schedule=cosine", "train.steps=6", "checkpoint.every_seconds=3"),
    ),
    "fixmatch": (
        *("method=fixmatch", "method.ratio=2", "augment=randaugment", "threshold=freematch", "schedule=cosine"),
        *("train.steps=6", "train.evaluate_every_steps=3", "checkpoint.every_steps=2", "plots=false"),
    ),
}
"""Small runs with everything that a checkpoint must hold: weight average, schedule, BatchNorm, policy memory."""


class Operation(NamedTuple):
    """An operation on a file (`path`, renamed or linked to `other`), or `saved` with the step as `path`."""

    kind: str
    path: str
    other: str = ""
    data: bytes = b""


@dataclass(frozen=True)
class Attempt:
    """The result of one process.

    status: as of os.waitstatus_to_exitcode: -9 = killed
    points: in order; only if requested
    began: the step from which it trained, None if it did not train
    saved: the step of the last completed save, 0 if there was none
    errors: its error stream
    operations: on files below its root, and its saves; only if requested
    audited: changes of files below its root that an audit hook saw, by event; only if requested
    """

    status: int
    points: tuple[Point, ...]
    began: int | None
    saved: int
    errors: str
    operations: tuple[Operation, ...]
    audited: dict[str, int]


class Blank(Figure):
    """A figure that costs nothing to draw."""

    def savefig(self, buffer: Any, **_: Any) -> None:
        buffer.write(b"a picture")


_ticks = itertools.cycle((1, 2, 3))
"""A clock for `checkpoint.every_seconds`: every third opportunity is saved, on every machine."""


def shared_start(scratch: Path) -> None:
    """Prepare the parent: run everything once, so that children find all late imports done."""
    assert not torch.cuda.is_available(), "with a GPU, no child could train after its parent did"
    torch.set_num_threads(1)
    problem = toy_problem(labeled=12, unlabeled=18)
    classes = ("one", "two", "three")
    images = (problem.labeled, problem.unlabeled, problem.validation, problem.test)
    data = Data(*images, problem.hidden_targets, classes, "made up", {"quarantined": []})
    run_module.load_data = lambda *_: (problem, data)
    run_plots.draw_run = lambda folder, *_: {"curves": run_plots.save_figure(Blank(), folder / "plots" / "curves.png")}
    run_module.git_diff = lambda: "a change of the code"
    run_module.delete_finished_states = lambda folder: None  # the campaign compares the last states
    RunWriter.seconds_since_save = lambda record: next(_ticks)  # type: ignore[method-assign]
    for run in RUNS:
        assert run_module.run(settings(run, scratch), Bars(), in_sweep=False).status == "done"
    gc.collect()
    gc.freeze()


def settings(run: str, root: Path) -> RunConfig:
    """The validated settings of one of RUNS below `root`."""
    return checked(*COMMON, *RUNS[run], f"output_root={root}")


def attempt(
    config: RunConfig,
    *,
    kill_at: int | None = None,
    torn: bool = False,
    tell: bool = False,
    defect: Callable[[], None] | None = None,
    harm: str = "kill",
) -> Attempt:
    """Run `config` in a process of its own, until its end or until it is killed at the point of number `kill_at`.

    Args:
        config: its output_root is what is watched.
        kill_at: None for never.
        torn: die in the middle of the write there.
        tell: report every point and operation.
        defect: called first, in the process: breaks something.
        harm: what is done at the point, as of Points.
    """
    root = Path(config.run.output_root)
    root.mkdir(parents=True, exist_ok=True)
    story, errors = root.with_suffix(".story"), root.with_suffix(".errors")
    story.write_bytes(b"")
    process = os.fork()
    if process == 0:
        _child(config, Points(root, kill_at, torn, lambda point: None, harm=harm), story, errors, tell, defect)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    told = [json.loads(line) for line in story.read_text().splitlines()]
    return Attempt(
        status,
        tuple(Point(*each["point"]) for each in told if "point" in each),
        next((each["began"] for each in told if "began" in each), None),
        max((each["saved"] for each in told if "saved" in each), default=0),
        errors.read_text(),
        tuple(_operation(each) for each in told if "operation" in each or "saved" in each) if tell else (),
        next((each["audited"] for each in told if "audited" in each), {}),
    )


def _operation(told: dict[str, Any]) -> Operation:
    if "saved" in told:
        return Operation("saved", str(told["saved"]))
    kind, path, other, data = told["operation"]
    return Operation(kind, path, other, base64.b64decode(data))


def _child(
    config: RunConfig, points: Points, story: Path, errors: Path, tell: bool, defect: Callable[[], None] | None
) -> None:
    status = 99
    try:
        told = os.open(story, os.O_WRONLY | os.O_APPEND)
        said = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 2)
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115

        def say(**what: Any) -> None:
            os.write(told, json.dumps(what).encode() + b"\n")

        audited: Counter[str] = Counter()
        if tell:
            sys.addaudithook(lambda event, details: audited.update([event] if points.audit(event, details) else ()))
            points.tell = lambda point: say(point=point)
            points.record = lambda *names: say(operation=(*names[:3], base64.b64encode(names[3]).decode()))
        _report_progress(say)
        points.install()
        if defect is not None:
            defect()
        outcome = run_module.run(config, Bars(), in_sweep=False)
        print(outcome.message, file=sys.stderr)
        say(audited=audited)
        status = outcome.exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _report_progress(say: Callable[..., None]) -> None:
    """Report the step from which a process trains, and every completed save."""
    save, begin = RunWriter.save, run_module.train

    def saved(record: RunWriter, snapshot: dict[str, Any]) -> None:
        save(record, snapshot)
        say(saved=snapshot["step"])

    def began(problem: Any, chosen: Any, state: Any) -> Any:
        say(began=state.step)
        return begin(problem, chosen, state)

    RunWriter.save = saved  # type: ignore[method-assign]
    run_module.train = began
