"""Experiments of the user: in the current folder, and in the folder of `--config-dir`."""

from pathlib import Path

import pytest

from semisup.cli.train import train_command
from semisup.config.compose import option_files
from semisup.config.custom_configs import VARIABLE, folders
from semisup.config.reference import describe
from semisup.errors import SettingError
from semisup.sweep.preflight import compose_command

YAML = "# @package _global_\n# My settings.\nname: mine\nthreshold:\n  tau: 0.8\n"
TINY = ("method=supervised", "train.steps=1", "model.widths=[4]", "plots=false", "tracking=none")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "")


def write(folder: str, name: str = "mine", text: str = YAML) -> Path:
    path = Path(folder, "experiment", f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("folder", ["semisup", "conf"])
def test_experiment_in_the_current_folder_is_used_and_named(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(folder)
    assert train_command(["experiment=mine", *TINY]) == 0
    assert f"experiment=mine: {path}\n" in capsys.readouterr().out
    assert list(Path("outputs", "mine").iterdir())
    assert "mine" in option_files("experiment")
    assert "tau: 0.8" in describe("experiment=mine")
    with pytest.raises(SettingError, match=r"must be one of .*, mine, .* \(did you mean mine\?\)"):
        compose_command(["experiment=min"], False)


def test_experiment_of_config_dir_is_used_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    path = write("my settings")
    for words in (["--config-dir", "my settings"], ["--config-dir=my settings"]):
        assert train_command([*words, "experiment=mine", *TINY]) == 0
        assert f"experiment=mine: '{path.resolve()}'\n" in capsys.readouterr().out
    assert train_command(["--config-dir", "nowhere", "experiment=mine"]) == 2
    assert "--config-dir nowhere: there is no such folder" in capsys.readouterr().err
    assert train_command(["experiment=mine", *TINY]) == 2, "only with the flag"


def test_an_experiment_of_semisup_is_not_replaced() -> None:
    write("conf", "few_labels", YAML)
    assert compose_command(["experiment=few_labels"], False).config.name != "mine"


def test_a_folder_without_experiments_is_not_searched() -> None:
    Path("conf", "threshold").mkdir(parents=True)
    Path("conf", "threshold", "theirs.yaml").write_text("name: fixed\ntau: 0.1\n")
    assert folders() == []
    assert "theirs" not in option_files("threshold")
