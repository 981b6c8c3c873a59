"""`semisup train`: compose and validate the settings, then train one run or start a sweep."""

import contextlib
import io
import os
import shlex
import sys
from pathlib import Path

from omegaconf import DictConfig

from semisup.config.compose import check_names, custom_choices, without_hydra
from semisup.config.custom_configs import VARIABLE
from semisup.config.typed_words import to_overrides
from semisup.errors import DataError, SettingError
from semisup.record.status import RunStatus
from semisup.report.console import safe_print
from semisup.runner.output_root import check_output_root
from semisup.runtime.missing_features import warn_missing_features
from semisup.runtime.torchrun_env import is_rank_zero
from semisup.runtime.warning_lines import short_warnings
from semisup.sweep.hydra_run import run_hydra
from semisup.sweep.labels_only import validate_or_train_on_labels
from semisup.sweep.preflight import compose_command
from semisup.sweep.runner import sweep
from semisup.text import printable, shell_quote

FLAGS_FOR_HYDRA = (
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--cfg",
    "-c",
    "--info",
    "-i",
)

CONFIG_DIR_FLAGS = ("--config-dir", "-cd")


def train_command(words: list[str], *, ends_with_summary: bool = True) -> int:
    """Run `semisup train WORDS...` and return the exit status.

    Args:
        words: overrides and flags, as typed.
        ends_with_summary: whether a sweep without a failure prints its summary at the end.
    """
    try:
        words = _with_config_dir(words)
    except DataError as error:
        return _print_error(str(error))
    flags = [word for word in words if word.startswith("-")]
    overrides = [word for word in words if not word.startswith("-")]
    shown = [flag for flag in flags if flag.split("=")[0] in FLAGS_FOR_HYDRA]
    if shown and len(shown) < len(flags):
        return _print_error(f"{' '.join(flags)}: {shown[0]} describes one run; leave out the other flags")
    names_options = overrides and not any("=" in word and "." in word.partition("=")[0] for word in overrides)
    if names_options and shown and set(shown) <= {"--help", "-h"}:
        return _describe(overrides)
    if shown:
        return _print_with_hydra(words)
    if wrong := [flag for flag in flags if flag not in ("-m", "--multirun")]:
        return _print_error(_wrong_flag(wrong[0], words))
    try:
        overrides = to_overrides(overrides, sweep=bool(flags))
        command = compose_command(overrides, bool(flags))
        check_output_root(str(command.config.output_root))
        if not command.several:
            short_warnings()
            command = validate_or_train_on_labels(overrides, command)
    except (SettingError, DataError) as error:
        return _print_error(str(error))
    if is_rank_zero():
        warn_missing_features()
        for group, name, path in custom_choices(command.config):
            safe_print(f"{group}={name}: {shell_quote(path)}")
    if command.several:
        return sweep(overrides, command, ends_with_summary=ends_with_summary)
    return _run_single(command.config)


def _wrong_flag(flag: str, words: list[str]) -> str:
    """Write the error message for a flag that does not exist, with a suggestion of what to type.

    Args:
        flag: the flag, such as `--experiment`.
        words: all words of the command line.
    """
    key, equals, value = flag.partition("=")
    following = words[words.index(flag) + 1 :][:1]
    if not equals and following and "=" not in following[0] and not following[0].startswith("-"):
        flag, equals, value = f"{flag} {following[0]}", "=", following[0]
    name = key.lstrip("-").replace("-", "_")
    hint = f"type {shlex.quote(f'{name}={value}')}" if equals and name else "settings are written key=value"
    return f"{flag}: not a flag of semisup train; {hint}" + ("" if equals else ", and -m starts a sweep")


def _with_config_dir(words: list[str]) -> list[str]:
    """Store the folder of `--config-dir DIR` in an environment variable; return the other words.

    Raises:
        DataError: DIR is not given, or is not a folder.
    """
    os.environ.pop(VARIABLE, None)
    rest: list[str] = []
    following = iter(words)
    for word in following:
        flag, equals, folder = word.partition("=")
        if flag not in CONFIG_DIR_FLAGS:
            rest.append(word)
            continue
        path = Path(folder if equals else next(following, "")).expanduser()
        if not path.is_dir() or path == Path():
            raise DataError(f"{flag} {shell_quote(path)}: there is no such folder; type {flag} DIR")
        os.environ[VARIABLE] = str(path.resolve())
    return rest


def _print_with_hydra(words: list[str]) -> int:
    """Print Hydra's output for a flag such as `--help` or `--cfg`, and return the exit status."""
    # Hydra writes to a buffer, because it would report a closed pipe as an error
    try:
        words = [to_overrides([word])[0] if "=" in word and not word.startswith("-") else word for word in words]
        check_names([word for word in words if "=" in word and not word.startswith("-")])
    except SettingError as error:
        return _print_error(str(error))
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            run_hydra(words)
    finally:
        print(output.getvalue(), end="")
    return 0


def _describe(words: list[str]) -> int:
    """Print the settings of options, as for `semisup train --help threshold=flexmatch`; return the exit status.

    Args:
        words: options as GROUP=OPTION, or names of options, groups, sections or keys.
    """
    from semisup.config.reference import describe

    try:
        print("\n\n".join(describe(word) for word in words))
    except SettingError as error:
        return _print_error(str(error))
    return 0


def _print_error(message: str) -> int:
    if is_rank_zero():
        print(f"semisup train: {message}", file=sys.stderr)
    return 2


def _run_single(config: DictConfig) -> int:
    """Train one run, print its result and the next command, and return the exit status."""
    from semisup.cli.track import upload
    from semisup.runner.progress import Bars
    from semisup.runner.resolve_auto import resolve_auto
    from semisup.runner.run import run
    from semisup.tracking.wandb import is_wandb_agent

    run_config = resolve_auto(without_hydra(config))
    with Bars() as bars:
        result = run(run_config, bars, in_sweep=False)
    if not is_rank_zero():
        return result.exit_code
    if result.status != RunStatus.DONE:
        prefix = "" if result.status == RunStatus.REFUSED else f"{result.status}: "
        print(f"semisup train: {prefix}{result.message}", file=sys.stderr)
        return result.exit_code
    if result.kept and is_wandb_agent():  # the agent waits for a result, also of a run that was finished before
        upload(result.folder, run_config.tracking)
    summary = result.summary or {}
    figures = [f"{name} {summary[name]:.4f}" for name in ("best/val/accuracy", "test/accuracy") if name in summary]
    figures += [f"refit: {summary['refit']}"] if "refit" in summary else []
    print(f"{'already done' if result.kept else 'done'}: {result.folder}  {'  '.join(figures)}")
    settings = run_config.settings
    if settings.train.refit:
        print(f"Next: semisup predict {shell_quote(result.folder)} images/", flush=True)
    else:
        control = "; with -m its supervised control is trained as well" if settings.method.uses_unlabeled else ""
        print(f"Next: semisup show {shell_quote(result.folder)}{control}", flush=True)
    if reason := summary.get("unused_reason"):
        print(f"no pseudo-label was used: {printable(reason, 2000)}", file=sys.stderr)
    return 0
