"""Train runs, compare them and classify images from Python, in scripts and notebooks.

    run = semisup.train(["method=fixmatch", "threshold.tau=0.9"])
    table = semisup.compare("outputs/runs")
    labels, confidences = semisup.load(run).predict("images/")

Errors are instances of the classes in `semisup.errors`. The functions restore the settings of torch, of warnings and of
signals that they change.
"""

import contextlib
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.config.compose import without_hydra
from semisup.config.quoting import format_value
from semisup.config.typed_words import to_overrides
from semisup.errors import MissingPackageError, SettingError
from semisup.record.status import RunStatus
from semisup.runner.classifier import load_classifier as load
from semisup.runner.output_root import check_output_root
from semisup.runner.progress import Bars
from semisup.runner.resolve_auto import resolve_auto
from semisup.runner.result import RunResult
from semisup.runner.run import run
from semisup.runtime.determinism import preserved_settings
from semisup.runtime.missing_features import warn_missing_features
from semisup.runtime.warning_lines import short_warnings
from semisup.sweep.labels_only import validate_or_train_on_labels
from semisup.sweep.preflight import ComposedCommand, compose_command

if TYPE_CHECKING:
    import pandas

__all__ = ["FinishedRun", "compare", "load", "train"]


@dataclass(frozen=True)
class FinishedRun(os.PathLike[str]):
    """A finished run; `load` and `compare` accept it as a path.

    folder: the run directory
    summary: the content of summary.json, such as `best/val/accuracy` and `test/accuracy` in [0, 1]
    reused: whether the run had been finished before the call, so that nothing was trained
    """

    folder: Path
    summary: dict[str, Any]
    reused: bool

    def __fspath__(self) -> str:
        return str(self.folder)


def train(overrides: Sequence[str] | Mapping[str, object] = ()) -> FinishedRun:
    """Train one run, as `semisup train` does.

    A finished run is reused, and an interrupted run is continued. Ctrl-C, or the stop button of a notebook, stops the
    run after the current step and saves it.

    Args:
        overrides: settings, as words (`["threshold.tau=0.9"]`) or as a mapping (`{"threshold.tau": 0.9}`).

    Raises:
        SettingError: a setting is not valid, or has several values.
        DataError: the data do not fit the settings.
        RecordError: the run directory is in use or damaged.
        DivergedError, CollapsedError, InsufficientMemoryError: the training failed.
        KeyboardInterrupt: the run was stopped; the same call continues it.
    """
    words = _to_words(overrides)
    with _as_command("train", words), preserved_settings():
        command = _compose(words)
        check_output_root(str(command.config.output_root))
        command = validate_or_train_on_labels(to_overrides(words), command)
        warn_missing_features()
        with Bars() as bars:
            result = run(resolve_auto(without_hydra(command.config)), bars, in_sweep=False)
    if result.status != RunStatus.DONE:
        _raise_error(result)
    return FinishedRun(result.folder, result.summary or {}, result.kept)


def compare(*folders: str | os.PathLike[str]) -> "pandas.DataFrame":
    """Compare runs with each other and with their control runs (the same runs without unlabeled images).

    Args:
        folders: as for `semisup compare`: an experiment (outputs/NAME), a run, or outputs, whose experiments are
            compared separately.

    Returns:
        One row for each run, with the columns of comparison.csv. `folder` is relative to the current directory.

    Raises:
        DataError: a folder is missing or contains no run.
        MissingPackageError: pandas is not installed.
        SettingError: no folder is given.
    """
    try:
        import pandas
    except ImportError:
        raise MissingPackageError("semisup.compare needs the package pandas; type pip install pandas") from None

    from semisup.analysis.datasets import compare_experiments
    from semisup.analysis.runs import find_runs, read_runs
    from semisup.report.export import plain_value, run_lines

    if not folders:
        raise SettingError("folders", None, "must name at least one folder, such as outputs/runs")
    with _as_command("compare", []):
        paths = [Path(folder) for folder in folders]
        comparisons = compare_experiments(read_runs(find_runs(paths)), paths)
    lines = [line for comparison in comparisons for line in run_lines(comparison, Path.cwd())]
    return pandas.DataFrame([{key: plain_value(value) for key, value in line.items()} for line in lines])


def _to_words(overrides: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Convert overrides to the words that follow `semisup train` on a command line, such as `threshold.tau=0.9`.

    Raises:
        SettingError: `overrides` is a single string.
    """
    if isinstance(overrides, str):
        raise SettingError("overrides", overrides, f'must be a list, such as ["{overrides}"], or a mapping')
    if not isinstance(overrides, Mapping):
        return [str(word) for word in overrides]
    words = []
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            words += [f"{key}.{word}" for word in _to_words(value)]
        else:
            plain = os.fspath(value) if isinstance(value, os.PathLike) else value
            words.append(f"{key}={_format([*plain] if isinstance(plain, tuple) else plain)}")
    return words


PLAIN_TEXT = re.compile(r"[A-Za-z][\w-]*([./][\w-]+)*", re.ASCII)
"""Pattern of text that Hydra accepts without quotes. Exceptions are the words in NOT_TEXT."""

NOT_TEXT = frozenset({"null", "true", "false", "nan", "inf", "yes", "no", "on", "off"})


def _format(value: object) -> str:
    """Format a value for the command line, without quotes if it is a name such as `fixmatch`."""
    if isinstance(value, str) and PLAIN_TEXT.fullmatch(value) and value.lower() not in NOT_TEXT:
        return value
    return format_value(value)


def _compose(words: list[str]) -> ComposedCommand:
    """Compose the config of one run.

    Raises:
        SettingError: a setting is not valid, or the words start a sweep.
    """
    flags = [word for word in words if word.startswith("-")]
    if flags:
        raise SettingError("overrides", flags[0], "must be settings of the form key=value")
    command = compose_command(to_overrides(words), asked=False)
    if command.several:
        typed = " ".join(words)
        raise SettingError(
            "overrides", typed, f"start a sweep, but semisup.train trains one run; type semisup train {typed}"
        )
    return command


@contextlib.contextmanager
def _as_command(name: str, words: list[str]) -> Iterator[None]:
    """Context manager; in its body, run.json records the equivalent command, and warnings are printed on one line."""
    arguments, shown = sys.argv, (warnings.formatwarning, warnings.showwarning)
    sys.argv = ["semisup", name, *words]
    short_warnings()
    try:
        yield
    finally:
        sys.argv = arguments
        warnings.formatwarning, warnings.showwarning = shown


def _raise_error(result: RunResult) -> None:
    """Raise the error of a run that is not finished.

    If a signal stopped the run, this process receives the same signal again, for the handler that was installed before
    the run.
    """
    if result.status == RunStatus.INTERRUPTED:
        if result.by:
            signal.raise_signal(signal.Signals[result.by])
        raise KeyboardInterrupt(f"{result.folder}: {result.message}")
    if result.error is not None:
        raise result.error
    raise RuntimeError(f"{result.folder}: {result.message}")
