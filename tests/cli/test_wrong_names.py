"""Names of commands, folders and runs that do not exist: every command says what to type, in the same words."""

from pathlib import Path

import pytest

from semisup.cli.commands import run_command_line
from tests.conftest import Program
from tests.report.run_maker import make, plain_of


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tran", "seed=1"], "semisup: tran: no such command; type semisup train seed=1\n"),
        (
            ["threshold.tau=0.9"],
            "semisup: threshold.tau=0.9: no command is given; type semisup train threshold.tau=0.9\n",
        ),
        (["xyz"], "semisup: xyz: no such command; type semisup with one of train, compare, "),
        (["compare", "mine"], "semisup compare: mine: there is no such folder; type outputs/mine\n"),
        (["compare", "outputs/mien"], "outputs/mien: there is no such folder; type outputs/mine\n"),
        (
            ["disk", "typo"],
            "semisup disk: typo: there is no such folder; type a folder of runs (outputs or outputs/NAME) or a run "
            "directory\n",
        ),
    ],
)
def test_line_to_type_is_printed(tmp_path: Path, program: Program, words: list[str], message: str) -> None:
    make(tmp_path / "outputs/mine", plain_of())
    status, output = program(*words)
    assert status == 2
    assert message in output


def test_words_that_a_command_does_not_take_print_its_own_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command_line(["advise", "a", "b"])
    assert (
        capsys.readouterr().err
        == "usage: semisup advise [-h] FOLDER\nsemisup advise: error: unrecognized arguments: b\n"
    )


@pytest.mark.parametrize("command", ["show", "label", "export", "predict", "reproduce"])
def test_all_commands_refuse_other_folders_in_the_same_words(tmp_path: Path, program: Program, command: str) -> None:
    (tmp_path / "empty").mkdir()
    run = make(tmp_path / "outputs/mine", plain_of()).relative_to(tmp_path)
    more = ["images"] if command == "predict" else []
    for folder, message in {
        "empty": "is not the directory of a run; type the directory of a run, outputs/NAME/RUN",
        "outputs/mine": f"is not the directory of a run; type one of the runs in it, such as {run}",
        "typo": "there is no such folder; type the directory of a run, outputs/NAME/RUN",
    }.items():
        if (command, folder) in (("reproduce", "typo"), ("predict", "outputs/mine")):
            continue  # may be a config file; names the best run
        assert program(command, folder, *more) == (2, f"semisup {command}: {folder}: {message}\n")


@pytest.mark.parametrize("command", ["label", "export"])
def test_unfinished_run_is_refused_in_the_same_words(tmp_path: Path, program: Program, command: str) -> None:
    run = make(tmp_path / "outputs/mine", plain_of(), status="interrupted").relative_to(tmp_path)
    message = "the run is not finished; repeat the command that trained it, which continues it"
    assert program(command, str(run)) == (2, f"semisup {command}: {run}: {message}\n")
