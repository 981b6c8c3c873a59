"""Tracking in Weights & Biases (wandb 0.31), offline by default.

This module works around the following behavior of wandb 0.31.0, which was confirmed by experiment:

- Every call may raise an exception or hang (no server, no key, service process dead). Therefore each call has a time
  limit, and the first failure disables tracking for the run, with a warning.
- `finish` returns before the file is complete, and the service process of wandb keeps the settings of the first run,
  does not recover from a failure, and delays the exit of this process. Therefore the service is stopped after every
  run, which takes 0.2 s.
- wandb prompts for a key on a terminal, and writes to a temporary directory if its directory is not writable.
- Images in tables, and logs of the service, are written to the home directory unless environment variables are set.
"""

import contextlib
import importlib.util
import itertools
import math
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semisup.core.events import MetricsRow
from semisup.errors import SettingError, check_choice, check_range
from semisup.text import printable
from semisup.tracking import NullTracker, RunInfo, Tracker
from semisup.tracking._deadline import UnavailableError, run_with_timeout

if TYPE_CHECKING:
    import wandb

_unreachable_modes: set[str] = set()
"""Modes in which opening a run failed in this process."""

AGENTS = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH")
"""Environment variables by which `wandb agent` identifies the run that it starts.

They apply only to the first run of a process, not to its control. So they are removed from the environment after the
first run is open.
"""

VARIABLES = {"project": "WANDB_PROJECT", "entity": "WANDB_ENTITY", "tags": "WANDB_TAGS", "mode": "WANDB_MODE"}
"""Setting -> the environment variable that replaces it where it has its default value."""

MAX_TEXT_LENGTH, MAX_ROWS, MAX_NAMES = 300, 10_000, 500
"""Limits of characters in a text, rows in a table, and metrics in a row: run directories may be untrusted."""

GRACE_SECONDS = 2.0
"""Time limit for stopping wandb after a failure, in addition to the time limits in the settings."""


@dataclass(frozen=True)
class Wandb:
    """Settings of tracking in W&B, explained in `conf/tracking/wandb.yaml`."""

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
                raise SettingError("tags", tag, "must have 1 to 64 characters each")
        check_range("init_timeout_seconds", self.init_timeout_seconds, 0, above=True)
        check_range("finish_timeout_seconds", self.finish_timeout_seconds, 0, above=True)
        check_range("thumbnails", self.thumbnails, 0, 1000)

    def require_installed(self) -> None:
        """Check that wandb is installed, if tracking is enabled.

        Raises:
            SettingError: wandb is not installed.
        """
        if self._mode() != "disabled" and importlib.util.find_spec("wandb") is None:
            allowed = "needs the package wandb, which is not installed; pip install wandb, or tracking=none"
            raise SettingError("tracking", "wandb", allowed)

    def open(self, run_info: RunInfo) -> Tracker:
        """Open a run in W&B; on failure, warn and return a tracker that does nothing.

        After a failure to reach the server, later calls in this process do not try again. If W&B already has a run with
        this id, its rows are replaced, so a resumed run must log all its rows again.

        The environment variables WANDB_PROJECT, WANDB_ENTITY, WANDB_TAGS and WANDB_MODE replace settings that have
        their default value. WANDB_DIR, WANDB_RUN_GROUP and WANDB_NAME are always used.
        """
        mode = self._mode()
        if mode == "disabled" or mode in _unreachable_modes:
            return NullTracker()
        run_info = environment_info(run_info)
        try:
            settings = _with_environment(self, run_info.defaults)
            run = run_with_timeout(self.init_timeout_seconds, "opening", lambda: _start(settings, mode, run_info))
        except SettingError as error:
            warnings.warn(f"W&B is off: {error}", stacklevel=2)
            return NullTracker()
        except UnavailableError as error:
            if mode != "offline":
                _unreachable_modes.add(mode)
            _disable(run_info, error)
            return NullTracker()
        return _Run(run, self, run_info)

    def _mode(self) -> str:
        """Return the mode of W&B: `online`, `offline` or `disabled`.

        It is the setting `tracking.mode` or, if this is null, the environment variable WANDB_MODE. Without either, it
        is `online` under `wandb agent` and otherwise `offline`.
        """
        return self.mode or os.environ.get("WANDB_MODE") or ("online" if is_wandb_agent() else "offline")


class _Run(Tracker):
    """A run that is open in W&B; after the first failure, its methods do nothing."""

    def __init__(self, run: "wandb.Run", settings: Wandb, run_info: RunInfo) -> None:
        self._run: wandb.Run | None = run
        self._settings = settings
        self._run_info = run_info
        self.wanted_thumbnails = settings.thumbnails

    def row(self, row: MetricsRow) -> None:
        def work(run: "wandb.Run") -> None:  # rows of untrusted runs can hold anything
            metrics = {_cut(name): value for name, value in row.items() if value is not None and math.isfinite(value)}
            run.log(dict(itertools.islice(metrics.items(), MAX_NAMES)))

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
                table.add_data(_to_image(image), *map(_cut, row))
            with _kept_in(self._run_info.folder):
                run.log({name: table})

        self._do("thumbnails", work)

    def table(self, name: str, columns: list[str], rows: list[list[object]]) -> None:
        def work(run: "wandb.Run") -> None:
            from wandb import Table

            data = [[_cut(value) for value in row] for row in rows[:MAX_ROWS]]
            with _kept_in(self._run_info.folder):
                run.log({name: Table(columns=[*columns], data=data, allow_mixed_types=True)})

        self._do("a table", work)

    def close(self, summary: dict[str, object], exit_code: int) -> None:
        def work(run: "wandb.Run") -> None:
            values = {_cut(name): _cut(value, 2000) for name, value in summary.items() if value is not None}
            run.summary.update(dict(itertools.islice(values.items(), MAX_NAMES)))
            written, run_id = Path(run.dir).parent, run.id  # under an agent, the id of the agent
            run.finish(exit_code)
            _teardown(exit_code)
            _remove_older(written, run_id)

        self._do("finishing", work, self._settings.finish_timeout_seconds)
        self._end()

    def _do(self, doing: str, work: Callable[["wandb.Run"], object], seconds: float | None = None) -> None:
        """Call `work` with the W&B run and a time limit; the first failure ends the tracking of the run with a warning.

        Args:
            doing: name of the operation, for the warning.
            seconds: time limit; None = `init_timeout_seconds`.
        """
        run = self._run
        if run is None:
            return
        try:
            run_with_timeout(seconds or self._settings.init_timeout_seconds, doing, lambda: work(run))
        except UnavailableError as error:
            self._end()
            _disable(self._run_info, error)

    def _end(self) -> None:
        self._run = None
        self.wanted_thumbnails = 0


def _with_environment(settings: Wandb, defaults: Mapping[str, Any]) -> Wandb:
    """Replace settings that have their default value by the values of wandb's environment variables.

    If a variable is set but the setting has another value than its default, the variable is not used, and a warning
    names it.

    Args:
        defaults: default values of the settings; null and empty values are treated as defaults, too.

    Raises:
        SettingError: the value of a variable is not valid.
    """
    values: dict[str, Any] = {}
    unused = []
    for key, variable in VARIABLES.items():
        text, own = os.environ.get(variable), getattr(settings, key)
        value = [tag.strip() for tag in (text or "").split(",") if tag.strip()] if key == "tags" else text
        if not value or value == own:
            continue
        if not own or own == defaults.get(key):
            values[key] = value
        else:
            unused.append(f"tracking.{key}={printable(','.join(own) if key == 'tags' else own)}, not {variable}={text}")
    if unused and not is_wandb_agent():  # which sets the variables, and whose run has a project of its own
        warnings.warn(f"W&B uses {'; '.join(map(printable, unused))}", stacklevel=3)
    values.pop("mode", None)  # `_mode`
    try:
        return replace(settings, **values)
    except SettingError as error:
        raise SettingError(VARIABLES[error.key], error.value, error.allowed) from None


def environment_info(run_info: RunInfo) -> RunInfo:
    """Replace group, name and folder of a run by the environment variables WANDB_RUN_GROUP, WANDB_NAME and WANDB_DIR.

    A variable that is not set has no effect. WANDB_NAME has no effect on a run of `semisup compare`.
    """
    group, name = os.environ.get("WANDB_RUN_GROUP"), os.environ.get("WANDB_NAME")
    directory = os.environ.get("WANDB_DIR")
    if directory and is_wandb_agent() and directory == os.getcwd():
        directory = None  # the agent set it, not the user
    return replace(
        run_info,
        group=group or run_info.group,
        name=run_info.name if not name or run_info.job_type == "compare" else name,
        folder=Path(directory).expanduser() / "wandb" if directory else run_info.folder,
    )


def is_wandb_agent() -> bool:
    """Whether `wandb agent` started this process and this process has not opened the agent's W&B run yet."""
    return bool(os.environ.get(AGENTS[0]))


def _start(settings: Wandb, mode: str, run_info: RunInfo) -> "wandb.Run":
    """Open a run in W&B; under `wandb agent`, open the run that the agent created.

    The call may hang or raise any exception.
    """
    folder = run_info.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} cannot be written")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when wandb is imported and its service starts
    with _kept_in(folder):
        import wandb

        run = wandb.init(
            id=run_info.run_id,
            name=run_info.name,
            group=run_info.group,
            job_type=run_info.job_type,
            tags=list(dict.fromkeys([*settings.tags, *run_info.tags])),
            config=run_info.config,
            project=settings.project,
            entity=settings.entity,
            mode=mode,  # type: ignore[arg-type]  # WANDB_MODE is checked by wandb
            dir=str(folder.parent),
            reinit="finish_previous",  # otherwise, the next run in this process would continue this one
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_code=True,
                disable_git=True,
                save_code=False,
                label_disable=True,
                x_save_requirements=False,
                init_timeout=settings.init_timeout_seconds,
                # below our own limit, so that wandb stops first, without data loss
                finish_timeout=0.8 * settings.finish_timeout_seconds,
                finish_timeout_raises=True,
            ),
        )
    for name in AGENTS:
        os.environ.pop(name, None)
    run.define_metric("epoch")
    run.define_metric("*", step_metric="epoch")  # instead of the number of `log` calls
    return run


@contextlib.contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Context in which wandb writes its cache and temporary images to `folder`, and prints nothing.

    It sets environment variables that are not set yet, and removes them at the end.
    """
    settings = {
        "WANDB_SILENT": "true",
        "WANDB_DATA_DIR": str(folder.absolute()),
        "WANDB_CACHE_DIR": str(folder.absolute() / "cache"),
    }
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _cut(value: Any, limit: int = MAX_TEXT_LENGTH) -> Any:
    """Shorten a text to `limit` characters; other values are returned unchanged."""
    return value[: limit - 3] + "..." if isinstance(value, str) and len(value) > limit else value


def _to_image(image: NDArray[np.uint8]) -> "wandb.Image":
    """Convert a (C, S, S) uint8 image to a W&B image with the same pixel values."""
    # through PIL, because wandb would rescale an array that has only small values
    from PIL import Image
    from wandb import Image as WandbImage

    return WandbImage(Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)))


def _remove_older(written: Path, run_id: str) -> None:
    """Remove the offline files that earlier processes wrote for the same run, unless they were uploaded.

    Args:
        written: directory of the files of this process, which contain all rows of the run.
        run_id: id of the run in W&B.
    """
    name = re.compile(rf"offline-run-\d{{8}}_\d{{6}}-{re.escape(run_id)}")
    for folder in written.parent.iterdir():
        uploaded = any(folder.glob("*.wandb.synced"))
        if name.fullmatch(folder.name) and folder.name != written.name and not uploaded:
            shutil.rmtree(folder, ignore_errors=True)


def _teardown(exit_code: int) -> None:
    """Stop the service process of wandb; the call may hang or raise any exception."""
    import wandb

    wandb.teardown(exit_code)


def _disable(run_info: RunInfo, error: UnavailableError) -> None:
    """Stop wandb and warn that the run is no longer tracked."""
    with contextlib.suppress(UnavailableError):  # the first failure is reported below
        run_with_timeout(GRACE_SECONDS, "teardown", lambda: _teardown(1))
    # the run id keeps Python from suppressing the warning of the next run as a duplicate
    warnings.warn(f"W&B is off for this run: {error} ({run_info.run_id}; the run directory is complete)", stacklevel=4)
