"""Read run directories into `Run` objects, even if files are damaged or were edited.

If a file cannot be used, no error is raised. The run then has the status `unreadable`, and its `reason` names the file
and the problem.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from semisup.config.controls import reference_configs
from semisup.config.nodes import GROUP_NODES, SECTIONS
from semisup.config.run_id import fold_of, result_config, run_id
from semisup.errors import DataError, RecordError, closest_match
from semisup.record.lock_holder import HolderState, holder_state
from semisup.record.reader import MAX_JSON_BYTES, check_steps, open_regular_file, parse_json, read_bytes, read_config
from semisup.record.rung import selection_metric
from semisup.record.status import RECORDED_STATUSES, RunStatus
from semisup.text import escape, shell_quote

ConfigDict = dict[str, Any]

PARSE_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""All errors that parsing a damaged file, or reading settings of the wrong structure, can raise."""

NO_ACCURACY = "no accuracy is claimed"
"""Value of `refit` in the summary of a run with `train.refit`, which trains on the validation images, too."""

ACCURACY, BALANCED_ACCURACY = "accuracy", "balanced_accuracy"

LARGEST_NUMBER = 1e100
"""Largest absolute value of a metric that is accepted; larger ones are treated as missing."""


@dataclass(frozen=True)
class Run:
    """Settings, status and results of a run, as read from its directory.

    id: derived from the config; the name of the folder if the config cannot be read
    status: one of RECORDED_STATUSES, or unreadable
    reason: why the run is not done, on one line, with control characters escaped
    identity: the settings that can change a result; {} if config.yaml cannot be read
    summary: content of summary.json; {} unless the run is done
    labeling: the last row of metrics.jsonl that describes a labeling; {} if there is none
    control_id, baseline_id, labels_only_ids: ids of the reference runs, with which this run is compared; None or () for
        an unfinished run and for a run on labels only
    fingerprint: checksum of the data set that the run read; None if run.json has none
    select_by: validation metric by which a comparison ranks its runs (`analysis/selection.py`)
    """

    folder: Path
    id: str
    status: str = RunStatus.UNREADABLE
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
    labels_only_ids: tuple[str, ...] = ()
    fingerprint: str | None = None
    select_by: str = ACCURACY

    @property
    def done(self) -> bool:
        return self.status == RunStatus.DONE

    @property
    def is_comparable(self) -> bool:
        """Whether the run is finished and has an accuracy: it was not trained on its validation images (`refit`)."""
        return self.done and not self.refit

    @property
    def fold(self) -> int | None:
        """The number of the cross-validation fold that the run uses for validation; None without folds."""
        return fold_of(self.identity) if self.identity else None

    @property
    def replicate(self) -> tuple[int, int]:
        """Seed and cross-validation fold (-1 without folds). Runs that differ only in these repeat one setting."""
        return self.seed or 0, -1 if self.fold is None else self.fold

    @property
    def refit(self) -> bool:
        """Whether the run trained on the labeled and the validation images together; it then has no accuracy."""
        return self.identity.get("train", {}).get("refit") is True

    @property
    def uses_unlabeled(self) -> bool:
        return "threshold" in self.identity  # result_config removes it if it cannot change a result

    @property
    def stores_model(self) -> bool:
        """Whether `semisup predict` can use the run: nearest neighbors on features store no model."""
        probe = self.config.get("probe")
        return not (isinstance(probe, dict) and probe.get("classifier") == "nearest_neighbors")

    @property
    def reference_ids(self) -> tuple[str, ...]:
        return tuple(id_ for id_ in (self.control_id, self.baseline_id, *self.labels_only_ids) if id_)

    def number(self, name: str) -> float | None:
        """Return a metric from the run's last labeling (`pseudo/...`) or its summary; None if it is missing."""
        return as_number(self.labeling.get(name) if name.startswith("pseudo/") else self.summary.get(name))

    def accuracy(self, split: str) -> float | None:
        """Return the run's accuracy in [0, 1] on its `test` or `validation` images; None if it has none."""
        return self.number({"test": "test/accuracy", "validation": "best/val/accuracy"}[split])

    @property
    def measure(self) -> str:
        """The metric in which gains are measured: BALANCED_ACCURACY if runs are ranked by it, else ACCURACY."""
        return BALANCED_ACCURACY if self.select_by == BALANCED_ACCURACY else ACCURACY

    def score(self, split: str) -> float | None:
        """Return the accuracy or balanced accuracy (see `measure`) on the `test` or `validation` images, in [0, 1].

        None = it is unknown.
        """
        return self.number({"test": f"test/{self.measure}", "validation": f"best/val/{self.measure}"}[split])

    @property
    def selection_value(self) -> float | None:
        """The value of the validation metric by which runs are ranked; None if it is unknown."""
        return self.number(f"best/val/{self.select_by}")

    @property
    def validation_score(self) -> float | None:
        """The validation metric by which runs are ranked; the loss has a minus sign, so that higher is better."""
        value = self.selection_value
        return None if value is None else selection_metric(self.select_by)[1] * value

    def images(self, split: str) -> int | None:
        """Return the number of evaluated `test` or `validation` images, from the confusion matrix; None if unknown."""
        confusion = self.summary.get("confusion")
        rows = confusion.get(split) if isinstance(confusion, dict) else None
        counts = [count for row in rows if isinstance(row, list) for count in row] if isinstance(rows, list) else []
        return int(sum(max(as_number(count) or 0, 0) for count in counts)) or None


def _nearest_folder(folder: Path) -> str:
    """Suggest a folder that the user may have meant: the same path in outputs/, or a folder with a similar name."""
    if (Path("outputs") / folder).is_dir():
        return shell_quote(Path("outputs") / folder)
    parents = dict.fromkeys((folder.parent, Path("outputs")))
    beside = {path.name: path for parent in parents if parent.is_dir() for path in sorted(parent.iterdir())}
    near = closest_match(folder.name, (name for name, path in beside.items() if path.is_dir()))
    return "outputs/NAME, the folder of an experiment" if near is None else shell_quote(beside[near])


def find_runs(folders: list[Path]) -> list[Path]:
    """List the run directories in the folders, sorted within each folder, without repetition.

    Raises:
        DataError: a folder is missing, cannot be read, or contains no run.
    """
    by_path: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            if folder.is_file():
                raise DataError(
                    f"{shell_quote(folder)}: is a file; type the folder of runs, {shell_quote(folder.parent)}"
                )
            raise DataError(f"{shell_quote(folder)}: there is no such folder; type {_nearest_folder(folder)}")
        try:
            runs = sorted(_runs_below(folder, depth=2))
        except OSError as error:
            raise DataError(f"{escape(folder)}: cannot be read: {error.strerror}") from None
        if not runs:
            raise DataError(
                f"{escape(folder)}: contains no runs; type outputs (all runs), outputs/NAME (those of one experiment) "
                "or the folder of one run"
            )
        for run in runs:
            by_path.setdefault(os.path.realpath(run), run)
    return list(by_path.values())


def is_run(folder: Path) -> bool:
    return any(os.path.isfile(folder / name) for name in ("config.yaml", "run.json"))


def read_runs(folders: list[Path]) -> list[Run]:
    """Read run directories, and the runs' reference runs (for comparison) if these are in the same parent folders."""
    runs = [read_run(folder) for folder in folders]
    ids, paths = {run.id for run in runs}, {os.path.realpath(folder) for folder in folders}
    beside: dict[str, Path] = {}
    for run in runs:
        for reference in run.reference_ids:
            if reference not in ids and "/" not in reference:
                folder = run.folder.parent / reference
                if is_run(folder) and os.path.realpath(folder) not in paths:  # else its config gives another id
                    beside.setdefault(reference, folder)
    return runs + [read_run(folder) for folder in beside.values()]


def read_run(folder: Path) -> Run:
    """Read a run directory. If a file is damaged, return what was read so far, with the status `unreadable`."""
    run = Run(folder, folder.resolve().name)
    try:
        run = _with_settings(run)
        run = _with_status(run)
        return _with_results(run) if run.done else replace(run, labeling={})
    except RecordError as error:
        return replace(run, status=RunStatus.UNREADABLE, reason=escape(error))
    except OSError as error:
        file = Path(error.filename or folder).name
        return replace(run, status=RunStatus.UNREADABLE, reason=escape(f"{file}: {error.strerror}"))
    except PARSE_ERRORS as error:
        return replace(run, status=RunStatus.UNREADABLE, reason=escape(_error_message(error)))


def as_number(value: object) -> float | None:
    """Return `value` if it is a number whose absolute value is at most LARGEST_NUMBER, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -LARGEST_NUMBER <= value <= LARGEST_NUMBER and not math.isnan(value) else None


def _runs_below(folder: Path, depth: int) -> Iterator[Path]:
    if is_run(folder):
        yield folder
    elif depth:
        with os.scandir(folder) as entries:
            inner = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
        for name in inner:
            if os.access(folder / name, os.R_OK | os.X_OK):
                yield from _runs_below(folder / name, depth - 1)


def _with_settings(run: Run) -> Run:
    _require_file(run.folder / "config.yaml")
    config = read_config(run.folder / "config.yaml")
    for section in (*GROUP_NODES, *SECTIONS):
        if not isinstance(config.get(section), dict):
            raise RecordError(
                f"config.yaml: the section {section} is {'not a mapping' if section in config else 'missing'}"
            )
    try:
        identity, id_ = result_config(config), run_id(config)
    except PARSE_ERRORS as error:
        raise RecordError(f"config.yaml: {_error_message(error)}") from None
    if type(config.get("seed")) is not int:
        raise RecordError("config.yaml: the seed is not an integer")
    return replace(run, id=id_, config=config, identity=identity, seed=config["seed"], name=str(config.get("name")))


def _with_status(run: Run) -> Run:
    about = _read_json(run.folder / "run.json")
    status, error = about.get("status"), about.get("error")
    if status not in RECORDED_STATUSES:
        raise RecordError(f"run.json: the status {escape(status)} is unknown")
    reason = ""
    if status == RunStatus.RUNNING:
        reason = _liveness(run.folder)
    elif isinstance(error, dict):
        message = escape(str(error.get("message") or "").strip())
        kind = escape(error.get("kind"))
        reason = message if message and status != RunStatus.FAILED else f"{kind}: {message}" if message else kind
    if about.get("job_type") == "reproduce" and status != "done":
        reason = f"a reproduction; {reason}".removesuffix("; ")
    dataset = about.get("dataset")
    seen = dataset.get("fingerprint") if isinstance(dataset, dict) else None
    if (run.folder / "metrics.jsonl").is_file():
        run = replace(run, labeling=check_steps(run.folder / "metrics.jsonl"))
    seconds, fingerprint = as_number(about.get("seconds")), seen if isinstance(seen, str) else None
    return replace(run, status=status, reason=reason, seconds=seconds, fingerprint=fingerprint)


def _with_results(run: Run) -> Run:
    summary = _read_json(run.folder / "summary.json")
    for name in ("steps", "labeled_steps", *(() if run.refit else ("best/val/accuracy",))):
        if as_number(summary.get(name)) is None:
            raise RecordError(f"summary.json: the value of {name} is not a number")
    for name in ("best/val/accuracy", "test/accuracy"):
        if summary.get(name) is not None and not 0 <= (as_number(summary[name]) or 0) <= 1:
            raise RecordError(f"summary.json: the value of {name} is not in [0, 1]")
    _require_whole_lines(run.folder / "metrics.jsonl")
    run = replace(run, summary=summary, labeling=run.labeling if run.uses_unlabeled else {})
    if not run.uses_unlabeled or run.refit:
        return run
    try:
        ids = {kind: run_id(config) for kind, config in reference_configs(run.config, summary).items()}
        control, baseline = ids.pop("control"), ids.pop("baseline")
        return replace(run, control_id=control, baseline_id=baseline, labels_only_ids=tuple(ids.values()))
    except PARSE_ERRORS as error:
        raise RecordError(
            "config.yaml: cannot derive from it the config of the control (the same run without unlabeled images): "
            f"{_error_message(error)}"
        ) from None


def _read_json(path: Path) -> ConfigDict:
    _require_file(path)
    try:
        raw = read_bytes(path, MAX_JSON_BYTES)
    except ValueError as error:
        raise RecordError(f"{path.name}: {error}") from None
    return _parse_object(path, raw)


def _parse_object(path: Path, raw: bytes) -> ConfigDict:
    try:
        value = parse_json(raw)
    except ValueError:
        raise RecordError(f"{path.name}: {'is not JSON, or truncated' if raw.strip() else 'is empty'}") from None
    if not isinstance(value, dict):
        raise RecordError(f"{path.name}: is not a JSON object")
    return value


def _require_whole_lines(path: Path) -> None:
    """Raise RecordError if the last line of a file is incomplete, or the file is missing.

    Only for files of finished runs; a run in progress may have an incomplete last line.
    """
    _require_file(path)
    with open_regular_file(path) as file:
        file.seek(max(0, path.stat().st_size - 1))
        if file.read(1) not in (b"\n", b""):
            raise RecordError(f"{path.name}: is not JSON, or truncated")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise RecordError(f"{path.name} is missing")


def _liveness(folder: Path) -> str:
    """Explain the status `running` of a run: whether a process trains it now."""
    state, holder = holder_state(folder)
    if state is HolderState.ALIVE:
        return "in progress"
    if state is HolderState.UNKNOWN:
        who = holder or "another process"
        return escape(f"locked by {who}, which may be running on another machine; type the same command to check")
    return "not running; type the same command again to continue"


def _error_message(error: Exception) -> str:
    """Return the message of the error on one line.

    For a KeyError, the text `is missing` is added after the key.
    """
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return " ".join(str(error).split()) or type(error).__name__
