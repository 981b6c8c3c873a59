"""Run folders as they lie on disk. Whatever is in them, each becomes one Run, and none raises.

What a run says of itself is data: YAML without tags or aliases, JSON, numbers checked before they are used.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from semisup.config.controls import baseline_config, control_config
from semisup.config.run_id import result_config, run_id
from semisup.errors import DataError, RecordError, escape
from semisup.record.lock import HolderState, holder_state
from semisup.record.reader import MAX_JSON_BYTES, check_steps, open_regular_file, parse_json, read_bytes, read_config

ConfigDict = dict[str, Any]

STATUSES = ("running", "done", "failed", "diverged", "collapsed", "interrupted")
NOT_DATA = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""All that parsing a broken file, or reading settings of the wrong shape, can raise."""

TAIL_BYTES = 2**18


@dataclass(frozen=True)
class Run:
    """What one run folder says.

    id: from its config; the folder's name where that cannot be read
    status: one of STATUSES, or unreadable
    reason: why it is not done, on one line, safe to print
    identity: the settings that can change a number; {} where config.yaml cannot be read
    summary: summary.json; {} unless done
    labeling: the last row of metrics.jsonl that tells of a labeling of the pool; {} where there was none
    control_id, baseline_id: of a finished run that uses unlabeled images
    fingerprint: of the images that it saw; None where run.json has none
    """

    folder: Path
    id: str
    status: str = "unreadable"
    reason: str = ""
    name: str | None = None
    seed: int | None = None
    config: ConfigDict = field(default_factory=dict)
    identity: ConfigDict = field(default_factory=dict)
    summary: ConfigDict = field(default_factory=dict)
    labeling: ConfigDict = field(default_factory=dict)
    seconds: float | None = None
    control_id: str | None = None
    baseline_id: str | None = None
    fingerprint: str | None = None

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def uses_unlabeled(self) -> bool:
        return "threshold" in self.identity  # identity() drops it where it cannot matter

    def number(self, name: str) -> float | None:
        """A finite number of the summary or the last labeling, else None."""
        return as_number(self.labeling.get(name) if name.startswith("pseudo/") else self.summary.get(name))

    def accuracy(self, split: str) -> float | None:
        """In [0, 1]; `split` is test or validation."""
        return self.number({"test": "test/accuracy", "validation": "best/val/accuracy"}[split])

    def images(self, split: str) -> int | None:
        """How many images of the split were judged, as far as its confusion counts say."""
        confusion = self.summary.get("confusion")
        rows = confusion.get(split) if isinstance(confusion, dict) else None
        counts = [count for row in rows if isinstance(row, list) for count in row] if isinstance(rows, list) else []
        return int(sum(as_number(count) or 0 for count in counts)) or None


class UnreadableError(ValueError):
    """A file of a run is not what it must be; says which and why."""


def find_runs(folders: list[Path]) -> list[Path]:
    """The run folders in the folders, sorted within each, none twice.

    Raises:
        DataError: a folder is missing or holds no run.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{escape(folder)}: there is no such folder")
        runs = sorted(_below(folder, depth=2))
        if not runs:
            raise DataError(f"{escape(folder)}: no runs here; give outputs/NAME, one run's folder or outputs")
        for run in runs:
            found.setdefault(os.path.realpath(run), run)
    return list(found.values())


def is_run(folder: Path) -> bool:
    return any(os.path.isfile(folder / name) for name in ("config.yaml", "run.json"))


def read_runs(folders: list[Path]) -> list[Run]:
    """The runs in these run folders, then the controls and baselines that lie beside them unasked for."""
    runs = [read_run(folder) for folder in folders]
    known = {run.id for run in runs}
    beside: dict[str, Path] = {}
    for run in runs:
        for reference in (run.control_id, run.baseline_id):
            if reference and reference not in known and "/" not in reference and is_run(run.folder.parent / reference):
                beside.setdefault(reference, run.folder.parent / reference)
    return runs + [read_run(folder) for folder in beside.values()]


def read_run(folder: Path) -> Run:
    """One run; what was readable before the first broken file is kept."""
    run = Run(folder, folder.resolve().name)
    try:
        run = _with_settings(run)
        run = _with_story(run)
        return _with_results(run) if run.done else run
    except UnreadableError as error:
        return replace(run, status="unreadable", reason=escape(error))
    except OSError as error:
        where = Path(error.filename or folder).name
        return replace(run, status="unreadable", reason=escape(f"{where}: {error.strerror}"))


def as_number(value: object) -> float | None:
    """`value` if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if is_run(folder):
        yield folder
    elif depth:
        with os.scandir(folder) as entries:
            inner = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
        for name in inner:
            if os.access(folder / name, os.R_OK | os.X_OK):
                yield from _below(folder / name, depth - 1)


def _with_settings(run: Run) -> Run:
    config = _yaml(run.folder / "config.yaml")
    try:
        identity, id_ = result_config(config), run_id(config)
    except NOT_DATA as error:
        raise UnreadableError(f"config.yaml: {_error_message(error)}") from None
    if type(config.get("seed")) is not int:
        raise UnreadableError("config.yaml: seed is not a number")
    return replace(run, id=id_, config=config, identity=identity, seed=config["seed"], name=str(config.get("name")))


def _with_story(run: Run) -> Run:
    about = _json(run.folder / "run.json")
    status, error = about.get("status"), about.get("error")
    if status not in STATUSES:
        raise UnreadableError(f"run.json: status is {escape(status)}")
    reason = ""
    if status == "running":
        reason = _signs_of_life(run.folder)
    elif isinstance(error, dict):
        message = escape(str(error.get("message") or "").strip())
        kind = escape(error.get("kind"))
        reason = message if message and status != "failed" else f"{kind}: {message}" if message else kind
    dataset = about.get("dataset")
    seen = dataset.get("fingerprint") if isinstance(dataset, dict) else None
    run = replace(run, fingerprint=seen if isinstance(seen, str) else None)
    if (run.folder / "metrics.jsonl").is_file():
        _check_steps(run.folder / "metrics.jsonl")
    return replace(run, status=status, reason=reason, seconds=as_number(about.get("seconds")))


def _check_steps(path: Path) -> None:
    try:
        check_steps(path)
    except RecordError as error:
        raise UnreadableError(str(error)) from None


def _with_results(run: Run) -> Run:
    summary = _json(run.folder / "summary.json")
    for name in ("steps", "labeled_steps", "best/val/accuracy"):
        if as_number(summary.get(name)) is None:
            raise UnreadableError(f"summary.json: {name} is not a number")
    for name in ("best/val/accuracy", "test/accuracy"):
        if not 0 <= (as_number(summary.get(name)) or 0) <= 1:
            raise UnreadableError(f"summary.json: {name} is not in [0, 1]")
    labeling = _last_labeling(run.folder / "metrics.jsonl")
    run = replace(run, summary=summary, labeling=labeling if run.uses_unlabeled else {})
    if not run.uses_unlabeled:
        return run
    control, baseline = control_config(run.config, summary), baseline_config(run.config, summary)
    return replace(run, control_id=run_id(control), baseline_id=run_id(baseline))


def _last_labeling(path: Path) -> ConfigDict:
    """The last row with a `pseudo/round`; the file's end is looked at first, for it may be long."""
    size = path.stat().st_size if _present(path) else 0
    with open_regular_file(path) as file:
        for start in sorted({max(0, size - TAIL_BYTES), 0}, reverse=True):
            file.seek(start)
            text = file.read()
            begins = text.rfind(b"\n", 0, max(text.rfind(b'"pseudo/round"'), 0)) + 1
            if b'"pseudo/round"' in text and (begins or not start):  # else the first line may be the end of one
                return _object(path, text[begins:].partition(b"\n")[0])
    return {}


def _yaml(path: Path) -> ConfigDict:
    _present(path)
    try:
        return read_config(path)
    except RecordError as error:
        raise UnreadableError(str(error)) from None


def _json(path: Path) -> ConfigDict:
    _present(path)
    try:
        raw = read_bytes(path, MAX_JSON_BYTES)
    except ValueError as error:
        raise UnreadableError(f"{path.name}: {error}") from None
    return _object(path, raw)


def _object(path: Path, raw: bytes) -> ConfigDict:
    try:
        value = parse_json(raw)
    except ValueError:
        raise UnreadableError(
            f"{path.name}: {'is not JSON, or only half of it' if raw.strip() else 'is empty'}"
        ) from None
    if not isinstance(value, dict):
        raise UnreadableError(f"{path.name}: is not a JSON object")
    return value


def _present(path: Path) -> bool:
    if not path.is_file():
        raise UnreadableError(f"{path.name} is missing")
    return True


def _signs_of_life(folder: Path) -> str:
    """Why a run has the status `running`: a process that is killed leaves it behind."""
    state, holder = holder_state(folder)
    if state is HolderState.ALIVE:
        return "in progress"
    if state is HolderState.UNKNOWN:
        who = holder or "another process"
        return escape(f"held by {who}, which cannot be seen from here; the same command checks it")
    return "no process is at it; the same command resumes it"


def _error_message(error: Exception) -> str:
    """One line of it; a bare KeyError says too little."""
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return " ".join(str(error).split()) or type(error).__name__
