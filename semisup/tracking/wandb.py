"""A mirror of the run in Weights & Biases (wandb 0.31): offline unless the user asks for more.

What wandb does that this file works around, each tried on 0.31.0:
- every call into it may raise or hang (no server, no key, its service process gone), so each runs under a deadline, and
  the first failure is one warning and the end of the mirror;
- `finish` returns before the file is whole; its service process keeps the settings of the first run, stays broken once
  it broke, and is waited for at exit: so it is taken down with every run, failed or not (the next one pays 0.2 s);
- it asks for a key where there is a terminal, and falls back to a temporary folder where its own cannot be written;
- pictures in tables, and logs of its service, go to the home folder unless the environment says otherwise.
"""

import contextlib
import importlib.util
import itertools
import math
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semisup.core.events import MetricsRow
from semisup.errors import SettingError, check_choice, check_range
from semisup.tracking import NullTracker, RunInfo, Tracker
from semisup.tracking._deadline import UnavailableError, run_with_timeout

if TYPE_CHECKING:
    import wandb

_unreachable_modes: set[str] = set()
"""Modes in which no run could be opened in this process."""

AGENTS = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH")
"""What `wandb agent` tells the run that it starts: whose it is. True of the first run of a process, its control is none
of the sweep's; so they are taken out of the environment when that is open."""

MOST_LETTERS, MOST_ROWS, MOST_NAMES = 300, 10_000, 500
"""Of a text, of a table and of a row of metrics: what a stranger's classes and files are called has no bounds."""

GRACE_SECONDS = 2.0
"""How long wandb may take to go away after a failure, on top of the timeouts."""


@dataclass(frozen=True)
class Wandb:
    """Where and how the run is shown.

    project: W&B project, made when it is not there
    entity: W&B user or team; null = the account's default
    mode: offline (files for `wandb sync`) or online; null = what WANDB_MODE says, else offline
    tags: words of 1 to 64 characters to find the run by
    init_timeout_seconds: longest wait for W&B to open the run, and for each later call but the last
    finish_timeout_seconds: longest wait for W&B to take the rest at the end
    thumbnails: how many of the most, and of the least, confident pseudo-labels to show; 0 = none
    """

    project: str
    entity: str | None
    mode: str | None
    tags: list[str]
    init_timeout_seconds: float
    finish_timeout_seconds: float
    thumbnails: int

    def __post_init__(self) -> None:
        if not self.project or set(self.project) & set("/\\#?%:"):
            raise SettingError("project", self.project, r"must be a name without / \ # ? % :")
        if self.mode is not None:
            check_choice("mode", self.mode, ("offline", "online"))
        for tag in self.tags:
            if not 1 <= len(tag) <= 64:
                raise SettingError("tags", tag, "each must be of 1 to 64 characters")
        check_range("init_timeout_seconds", self.init_timeout_seconds, 0, above=True)
        check_range("finish_timeout_seconds", self.finish_timeout_seconds, 0, above=True)
        check_range("thumbnails", self.thumbnails, 0, 1000)

    def require_installed(self) -> None:
        """Raise SettingError where a run would be shown and the package is not installed."""
        if os.environ.get("WANDB_MODE") != "disabled" and importlib.util.find_spec("wandb") is None:
            allowed = "needs the package wandb, and it is not installed; pip install wandb, or tracking=none"
            raise SettingError("tracking", "wandb", allowed)

    def open(self, identity: RunInfo) -> Tracker:
        """A mirror of a new run; where W&B cannot be had, a warning and one that shows nothing.

        A server that could not be reached is not asked again by this process: a sweep waits for it once.
        A run id that was used before starts again from nothing (online, W&B replaces the old rows; offline, the older
        files go when these are closed): whoever resumes a run gives all its rows again.
        """
        mode = self.mode or os.environ.get("WANDB_MODE") or ("online" if is_wandb_agent() else "offline")
        if mode == "disabled":
            return NullTracker()
        if mode in _unreachable_modes:
            return NullTracker()
        try:
            run = run_with_timeout(self.init_timeout_seconds, "opening", lambda: _start(self, mode, identity))
        except UnavailableError as why:
            if mode != "offline":
                _unreachable_modes.add(mode)
            _disable(identity, why)
            return NullTracker()
        return _Run(run, self, identity)


class _Run(Tracker):
    """A run that W&B has opened; after the first failure it is as Silent."""

    def __init__(self, run: "wandb.Run", settings: Wandb, identity: RunInfo) -> None:
        self._run: wandb.Run | None = run
        self._settings = settings
        self._identity = identity
        self.wanted_thumbnails = settings.thumbnails

    def row(self, row: MetricsRow) -> None:
        def work(run: "wandb.Run") -> None:  # a stranger's row may hold anything
            known = {_cut(name): value for name, value in row.items() if value is not None and math.isfinite(value)}
            run.log(dict(itertools.islice(known.items(), MOST_NAMES)))

        self._do("a row of metrics", work)

    def plots(self, plots: dict[str, Path]) -> None:
        def work(run: "wandb.Run") -> None:
            from wandb import Image

            run.log({f"plots/{name}": Image(str(path)) for name, path in plots.items()})

        if plots:
            self._do("plots", work)

    def thumbnails(self, name: str, columns: list[str], rows: list[list[object]], images: NDArray[np.uint8]) -> None:
        assert len(rows) == len(images), (len(rows), len(images))

        def work(run: "wandb.Run") -> None:
            from wandb import Table

            table = Table(columns=["image", *columns])
            for image, row in zip(images, rows, strict=True):
                table.add_data(_picture(image), *map(_cut, row))
            with _kept_in(self._identity.folder):
                run.log({name: table})

        self._do("thumbnails", work)

    def table(self, name: str, columns: list[str], rows: list[list[object]]) -> None:
        def work(run: "wandb.Run") -> None:
            from wandb import Table

            data = [[_cut(value) for value in row] for row in rows[:MOST_ROWS]]
            with _kept_in(self._identity.folder):
                run.log({name: Table(columns=[*columns], data=data, allow_mixed_types=True)})

        self._do("a table", work)

    def close(self, summary: dict[str, object], exit_code: int) -> None:
        def work(run: "wandb.Run") -> None:
            known = {_cut(name): _cut(value, 2000) for name, value in summary.items() if value is not None}
            run.summary.update(dict(itertools.islice(known.items(), MOST_NAMES)))
            written, run_id = Path(run.dir).parent, run.id  # which under an agent is not ours
            run.finish(exit_code)
            _teardown(exit_code)
            _remove_older(written, run_id)

        self._do("finishing", work, self._settings.finish_timeout_seconds)
        self._end()

    def _do(self, doing: str, work: Callable[["wandb.Run"], object], seconds: float | None = None) -> None:
        """Do `work` on the run under a deadline; the first failure ends the mirror."""
        run = self._run
        if run is None:
            return
        try:
            run_with_timeout(seconds or self._settings.init_timeout_seconds, doing, lambda: work(run))
        except UnavailableError as why:
            self._end()
            _disable(self._identity, why)

    def _end(self) -> None:
        self._run = None
        self.wanted_thumbnails = 0


def is_wandb_agent() -> bool:
    """Whether `wandb agent` started this process, for a run of its sweep that was not yet opened."""
    return bool(os.environ.get(AGENTS[0]))


def _start(settings: Wandb, mode: str, identity: RunInfo) -> "wandb.Run":
    """Open the run: under an agent the one that the agent made, under its id, in its project. May hang, and may raise
    anything."""
    folder = identity.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb is imported and its service starts
    with _kept_in(folder):
        import wandb

        run = wandb.init(
            id=identity.run_id,
            name=identity.name,
            group=identity.group,
            job_type=identity.job_type,
            tags=list(dict.fromkeys([*settings.tags, *identity.tags])),
            config=identity.config,
            project=settings.project,
            entity=settings.entity,
            mode=mode,  # type: ignore[arg-type]  # WANDB_MODE may say anything; wandb checks it
            dir=str(folder.parent),
            reinit="finish_previous",  # else the next run in this process would be this one
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_code=True,
                disable_git=True,
                save_code=False,
                label_disable=True,
                x_save_requirements=False,
                init_timeout=settings.init_timeout_seconds,
                # a little less than ours, so that wandb gives up first, in good order
                finish_timeout=0.8 * settings.finish_timeout_seconds,
                finish_timeout_raises=True,
            ),
        )
    for name in AGENTS:
        os.environ.pop(name, None)
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch")  # wandb's own count of calls means nothing to us
    return run


@contextlib.contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """While in here wandb keeps its cache and staged pictures in `folder`, and neither prints nor asks."""
    ours = {
        "WANDB_SILENT": "true",
        "WANDB_DATA_DIR": str(folder.absolute()),
        "WANDB_CACHE_DIR": str(folder.absolute() / "cache"),
    }
    added = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _cut(value: Any, most: int = MOST_LETTERS) -> Any:
    """A text of at most so many letters; anything else as it is."""
    return value[: most - 3] + "..." if isinstance(value, str) and len(value) > most else value


def _picture(image: NDArray[np.uint8]) -> "wandb.Image":
    """(C, S, S) uint8 as wandb shows it. By way of PIL, for wandb stretches arrays of small values."""
    from PIL import Image
    from wandb import Image as Picture

    return Picture(Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)))


def _remove_older(written: Path, run_id: str) -> None:
    """Remove what earlier processes of the same run wrote offline and nobody has sent: `written` has all their rows."""
    name = re.compile(rf"offline-run-\d{{8}}_\d{{6}}-{re.escape(run_id)}")
    for folder in written.parent.iterdir():
        sent = any(folder.glob("*.wandb.synced"))
        if name.fullmatch(folder.name) and folder.name != written.name and not sent:
            shutil.rmtree(folder, ignore_errors=True)


def _teardown(exit_code: int) -> None:
    """End wandb's service and what it knows of this process. May hang, and may raise anything."""
    import wandb

    wandb.teardown(exit_code)


def _disable(identity: RunInfo, why: UnavailableError) -> None:
    """Take wandb down and warn, once for each run."""
    with contextlib.suppress(UnavailableError):  # it is broken already, and that is about to be said
        run_with_timeout(GRACE_SECONDS, "teardown", lambda: _teardown(1))
    # the run's id keeps Python from taking the next run's warning for a repetition
    warnings.warn(f"W&B is off for this run: {why} ({identity.run_id}; its own record is whole)", stacklevel=4)
