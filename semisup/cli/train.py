"""`semisup train`: Hydra composes and sweeps; every run comes through the one gate."""

import contextlib
import io
import os
import sys

from omegaconf import DictConfig

from semisup.config.compose import check_names, without_hydra
from semisup.errors import DataError, SettingError
from semisup.sweep.preflight import compose_command, validate_command
from semisup.sweep.runner import sweep, with_hydra
from semisup.text import shell_quote

COMPLETION = ("--shell-completion", "-sc")  # whose own words look like settings: install=bash
FLAGS_FOR_HYDRA = (
    "--help",
    "-h",
    "--hydra-help",
    "--version",
    "--cfg",
    "-c",
    "--info",
    "-i",
    *COMPLETION,
)


def train_command(words: list[str]) -> int:
    """Everything after `semisup train`; returns the exit status."""
    asked = {word.split("=")[0] for word in words}
    if asked & set(FLAGS_FOR_HYDRA):
        try:
            if asked & set(COMPLETION):
                _drop_command_word()
            else:
                check_names([word for word in words if "=" in word and not word.startswith("-")])
        except SettingError as error:
            return _print_error(str(error))
        said = io.StringIO()  # printed by us: Hydra takes a reader that is gone for an error of its own
        try:
            with contextlib.redirect_stdout(said):
                with_hydra(words)
        finally:
            print(said.getvalue(), end="")
        return 0
    overrides = [word for word in words if not word.startswith("-")]
    flags = [word for word in words if word.startswith("-")]
    if any(word not in ("-m", "--multirun") for word in flags):
        return _print_error(
            f"{' '.join(flags)}: not a flag of semisup train; settings are written key=value, -m sweeps"
        )
    try:
        door = compose_command(overrides, "-m" in flags or "--multirun" in flags)
        if not door.several:
            validate_command(door)
    except (SettingError, DataError) as error:
        return _print_error(str(error))
    return sweep(overrides, door) if door.several else _run_single(door.config)


def _drop_command_word() -> None:
    """Hydra completes what stands after the program's name, and would take `train_command` for a setting."""
    program, ours, rest = os.environ.get("COMP_LINE", "").partition(" train ")
    if ours:
        os.environ["COMP_LINE"] = f"{program} {rest}"


def _print_error(message: str) -> int:
    from semisup.runtime.torchrun_env import is_rank_zero

    if is_rank_zero():
        print(f"semisup train: {message}", file=sys.stderr)
    return 2


def _run_single(config: DictConfig) -> int:
    from semisup.analysis.diagnosis import explain_unused
    from semisup.cli.track import upload
    from semisup.report.console import short_warnings
    from semisup.runner.progress import Bars
    from semisup.runner.resolve_auto import resolve_auto
    from semisup.runner.run import run
    from semisup.runtime.torchrun_env import is_rank_zero
    from semisup.tracking.wandb import is_wandb_agent

    short_warnings()
    run_config = resolve_auto(without_hydra(config))
    with Bars() as bars:
        result = run(run_config, bars, in_sweep=False)
    if not is_rank_zero():
        return result.exit_code
    if result.status != "done":
        said = "" if result.status == "refused" else f"{result.status}: "
        print(f"semisup train: {said}{result.message}", file=sys.stderr)
        return result.exit_code
    if result.kept and is_wandb_agent():  # which waits for the result, whoever made it
        upload(result.folder, run_config.tracking)
    summary = result.summary or {}
    if why := explain_unused(run_config, result.folder, summary):
        print(why, file=sys.stderr)
    figures = [f"{name} {summary[name]:.4f}" for name in ("best/val/accuracy", "test/accuracy") if name in summary]
    print(f"{'already done' if result.kept else 'done'}: {result.folder}  {'  '.join(figures)}")
    control = "; with -m its control, labels alone, is trained beside it"
    print(
        f"Next: semisup show {shell_quote(result.folder)}{control if run_config.settings.method.uses_unlabeled else ''}"
    )
    return 0
