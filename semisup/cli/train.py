"""`semisup train`: Hydra composes and sweeps; every run comes through the one gate."""

import contextlib
import io
import os
import sys

from omegaconf import DictConfig

from semisup.config.compose import check_names, ours
from semisup.errors import DataError, SettingError
from semisup.runtime.text import typed
from semisup.sweep.preflight import check_at_the_door, composed_at_the_door
from semisup.sweep.runner import sweep, with_hydra

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


def train(words: list[str]) -> int:
    """Everything after `semisup train`; returns the exit status."""
    asked = {word.split("=")[0] for word in words}
    if asked & set(FLAGS_FOR_HYDRA):
        try:
            if asked & set(COMPLETION):
                _without_our_word()
            else:
                check_names([word for word in words if "=" in word and not word.startswith("-")])
        except SettingError as error:
            return _refuse(str(error))
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
        return _refuse(f"{' '.join(flags)}: not a flag of semisup train; settings are written key=value, -m sweeps")
    try:
        door = composed_at_the_door(overrides, "-m" in flags or "--multirun" in flags)
        if not door.several:
            check_at_the_door(door)
    except (SettingError, DataError) as error:
        return _refuse(str(error))
    return sweep(overrides, door) if door.several else _one(door.config)


def _without_our_word() -> None:
    """Hydra completes what stands after the program's name, and would take `train` for a setting."""
    program, ours, rest = os.environ.get("COMP_LINE", "").partition(" train ")
    if ours:
        os.environ["COMP_LINE"] = f"{program} {rest}"


def _refuse(message: str) -> int:
    from semisup.runtime.torchrun_env import leads

    if leads():
        print(f"semisup train: {message}", file=sys.stderr)
    return 2


def _one(config: DictConfig) -> int:
    from semisup.analysis.diagnosis import why_unused
    from semisup.cli.track import show_again
    from semisup.report.console import quietly
    from semisup.runner.progress import Bars
    from semisup.runner.resolve_auto import as_begun
    from semisup.runner.run import run
    from semisup.runtime.torchrun_env import leads
    from semisup.tracking.wandb import started_by_an_agent

    quietly()
    checked = as_begun(ours(config))
    with Bars() as bars:
        outcome = run(checked, bars, of_a_sweep=False)
    if not leads():
        return outcome.exit_code
    if outcome.status != "done":
        said = "" if outcome.status == "refused" else f"{outcome.status}: "
        print(f"semisup train: {said}{outcome.message}", file=sys.stderr)
        return outcome.exit_code
    if outcome.kept and started_by_an_agent():  # which waits for the result, whoever made it
        show_again(outcome.folder, checked.tracking)
    summary = outcome.summary or {}
    if why := why_unused(checked, outcome.folder, summary):
        print(why, file=sys.stderr)
    figures = [f"{name} {summary[name]:.4f}" for name in ("best/val/accuracy", "test/accuracy") if name in summary]
    print(f"{'already done' if outcome.kept else 'done'}: {outcome.folder}  {'  '.join(figures)}")
    control = "; with -m its control, labels alone, is trained beside it"
    print(f"Next: semisup show {typed(outcome.folder)}{control if checked.settings.method.uses_unlabeled else ''}")
    return 0
