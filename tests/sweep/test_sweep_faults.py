"""Sweeps in folders of others, without the launcher's programs, short of memory, and with secrets in their command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from semisup.cli.train import train_command
from semisup.config import schema
from semisup.config.compose import without_hydra
from semisup.errors import SettingError
from semisup.runner.progress import Bars
from semisup.sweep import job
from semisup.sweep.job_store import STOPPED, JobStore
from semisup.sweep.preflight import bind_group_settings, compose_command, job_overrides, validate_command
from tests import preloaded
from tests.conftest import compose
from tests.sweep import full_group

TINY = ("method=supervised", "tracking=none", "plots=false", "model.widths=[4,8]", "train.epochs=1", "name=s")
SECRET = "a-secret-of-20-digits"


def sweep(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.sweep.stand_in", "train", "-m", *TINY, f"output_root={folder}", *words]
    return preloaded.run(command, capture_output=True, text=True, timeout=240, env=os.environ | environment)


def test_killed_workers_are_reported_and_the_sweep_continues_with_fewer(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    group = full_group.install(tmp_path / "root", workers=2)
    done = sweep(tmp_path, "hydra/launcher=joblib", "hydra.launcher.n_jobs=4", "seed=0,1,2,3", **group)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 runs: 4 done" in done.stdout
    assert "killed by SIGKILL: out of memory, limit 0.50 GB," in done.stdout
    assert "continuing with 2 runs at a time" in done.stdout
    assert "continuing with 1 run at a time" not in done.stdout


def test_a_run_too_large_for_its_control_group_is_reported_with_the_limit(tmp_path: Path) -> None:
    """A job that is killed even by itself is a failed one, and the others are done."""
    group = full_group.install(tmp_path / "root", workers=2)
    done = sweep(tmp_path, "seed=0,1,2", STAND_IN='{"1": "killed"}', **group)
    assert done.returncode == 1, done.stderr
    assert "3 runs: 2 done, 1 failed" in done.stdout
    assert "killed by SIGKILL: out of memory? limit 0.50 GB" in done.stdout


FOREIGN = {"jobs/00000.json": "mine", "plan.json": '{"jobs": []}', "multirun.yaml": "mine", "notes.txt": "mine"}


@pytest.mark.parametrize("name", FOREIGN)
def test_sweep_refuses_a_folder_with_files_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(FOREIGN[name])
    monkeypatch.chdir(tmp_path)
    assert train_command(["-m", *TINY, "seed=0,1", "hydra.sweep.dir=."]) == 2
    error = capsys.readouterr().err
    assert f"hydra.sweep.dir=.: holds files that no sweep wrote ({name.partition('/')[0]})" in error
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [Path(name).name]
    assert (tmp_path / name).read_text() == FOREIGN[name]


def test_sweep_deletes_only_its_own_job_files(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.begin([["seed=0"]], "one")
    for name in ("00000.json", "00000-control.json", "notes.json"):
        (tmp_path / "jobs" / name).write_text("{}")
    store.require_ownership()
    store.begin([["seed=0"]], "two")
    assert [path.name for path in (tmp_path / "jobs").iterdir()] == ["notes.json"]


def test_slurm_launcher_without_slurm_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert train_command(["-m", *TINY, "hydra/launcher=slurm", f"output_root={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("semisup train: hydra/launcher=slurm: needs SLURM's srun, which is not on PATH here;")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_deletion_applies_where_the_key_exists() -> None:
    words = ["threshold=fixed,freematch", "~threshold.lambda_fairness", "tracking=none"]
    command = compose_command(words, asked=True)
    assert command.deleted_keys == ["threshold.lambda_fairness"]
    plan = job_overrides(command, bind_group_settings(words[:1]))
    with pytest.raises(SettingError, match=r"threshold\.lambda_fairness=null: must be|lambda_fairness"):
        validate_command(command, plan)  # freematch needs the key that it lost; fixed never had it


def test_command_of_the_few_labels_experiment_is_valid() -> None:
    words = ["experiment=few_labels", "threshold=fixed,flexmatch", "~threshold.momentum", "tracking=none"]
    command = compose_command(words, asked=True)
    plan = job_overrides(command, bind_group_settings([word for word in words if word[0] != "~"]))
    assert plan is not None
    assert len(plan) == 2
    assert len(validate_command(command, plan)) == 1


@pytest.mark.parametrize("asked", [True, False])
def test_deletion_of_a_key_that_never_exists_is_refused(asked: bool) -> None:
    words = ["threshold=fixed", "~threshold.momentun", "tracking=none"]
    with pytest.raises(SettingError, match=r"override=~threshold\.momentun: no config of this command has this key"):
        command = compose_command(words, asked)
        validate_command(command, job_overrides(command, words[:1]))


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_secrets_of_the_command_are_not_written(tmp_path: Path, launcher: str) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = (f"hydra/launcher={launcher}", f"+hydra.job.env_set.WANDB_API_KEY={SECRET}", "seed=0,1")
    done = sweep(tmp_path, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    (plan,) = tmp_path.glob("s/sweeps/*/plan.json")
    assert json.loads(plan.read_text())["jobs"][1][0] == "seed=1"


def test_run_does_not_start_if_the_sweep_is_stopped_after_the_job_began(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "sweep")
    store.begin([["seed=0"]], "s")
    store.request_stop(STOPPED)  # by a process that listed the running jobs before this job recorded its run
    run_config = schema.validate(without_hydra(compose(*TINY, f"output_root={tmp_path}")))
    with Bars() as bars, pytest.raises(KeyboardInterrupt):
        job._run_and_store(store, "00000", run_config, bars)
    assert store.entries() == {}
    assert list(tmp_path.glob("s/*")) == []
