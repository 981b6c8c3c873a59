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
        (["compare", "file"], "file: is a file; type the folder of runs, .\n"),
        (["predict", "outputs"], "outputs: is a folder of runs; type semisup predict outputs/mine/"),
        (["predict", "images"], "images: is not the directory of a run; type the directory of a run, outputs/NAME/RUN"),
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
    (tmp_path / "file").write_text("")
    (tmp_path / "images").mkdir()
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


@pytest.mark.parametrize(
    ("command", "message"),
    {
        "show": "type semisup show RUN, where RUN is a run directory, outputs/NAME/RUN\n",
        "label": "type semisup label RUN, where RUN is the directory of a finished run, outputs/NAME/RUN\n",
        "compare": "type semisup compare FOLDER, where FOLDER is an experiment, a run, or outputs\n",
        "confirm": "type semisup confirm FOLDER, where FOLDER is the folder of a sweep: outputs/NAME\n",
    }.items(),
)
def test_command_without_a_folder_says_what_to_type(
    capsys: pytest.CaptureFixture[str], command: str, message: str
) -> None:
    with pytest.raises(SystemExit):
        run_command_line([command])
    assert capsys.readouterr().err.endswith(f"semisup {command}: error: {message}")


@pytest.mark.parametrize("command", ["show", "label", "export"])
def test_best_run_of_a_folder_is_suggested(tmp_path: Path, program: Program, command: str) -> None:
    for name in ("a", "b"):
        for seed, val in ((0, 0.7), (1, 0.9), (2, 0.8)):
            make(tmp_path / "outputs" / name, plain_of(seed=seed), val=val)
    best = [next((tmp_path / "outputs" / name).glob("*seed1*")).relative_to(tmp_path) for name in ("a", "b")]
    message = f"outputs/a: is a folder of runs; type semisup {command} {best[0]} for the best run on validation\n"
    assert program(command, "outputs/a") == (2, f"semisup {command}: {message}")
    others = f" of the first experiment or data set (of the others: {best[1]})\n"
    assert program(command, "outputs")[1].endswith(f"{best[0]} for the best run on validation{others}")


@pytest.mark.parametrize("command", ["show", "label", "export", "predict", "reproduce"])
def test_all_commands_refuse_other_folders_in_the_same_words(tmp_path: Path, program: Program, command: str) -> None:
    (tmp_path / "empty").mkdir()
    run = make(tmp_path / "outputs/mine", plain_of()).relative_to(tmp_path)
    more = ["images"] if command == "predict" else []
    for folder, message in {
        "empty": "is not the directory of a run; type the directory of a run, outputs/NAME/RUN",
        "outputs/mine": f"is a folder of runs; type semisup {command} {run} for the best run on validation",
        "typo": "there is no such folder; type the directory of a run, outputs/NAME/RUN",
    }.items():
        if (command, folder) in (("reproduce", "typo"), ("predict", "outputs/mine")):
            continue  # may be a config file; the message includes the images
        assert program(command, folder, *more) == (2, f"semisup {command}: {folder}: {message}\n")


@pytest.mark.parametrize("command", ["label", "export"])
def test_unfinished_run_is_refused_in_the_same_words(tmp_path: Path, program: Program, command: str) -> None:
    run = make(tmp_path / "outputs/mine", plain_of(), status="interrupted").relative_to(tmp_path)
    message = "the run is not finished; repeat the command that trained it, which continues it"
    assert program(command, str(run)) == (2, f"semisup {command}: {run}: {message}\n")
