"""Test `device=mps`, the GPU of a Mac, on a fake device: float32, the record of the environment, refused settings."""

import platform
import subprocess

import pytest
import torch

from semisup.core.calibration import fit_temperature
from semisup.errors import SettingError
from semisup.record import environment
from semisup.record.environment import diff_environments
from semisup.runner import memory_check
from semisup.runtime import device_names
from semisup.runtime.memory_limit import memory_limit_bytes
from semisup.runtime.precision import choose_precision, require_device
from semisup.training.evaluation import evaluate
from semisup.training.step import training_step
from tests import test_devices
from tests.conftest import checked, choose, combinations, options, toy_problem, value_of
from tests.fake_gpu import MPS, fake_gpu

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")

ON_MPS = ("device=mps", "deterministic=false", "precision=float32")


@pytest.mark.parametrize(
    ("method", "policy"),
    combinations([each for each in options("method") if each != "noisy_student"], options("threshold")),
)
def test_a_step_uses_no_float64(monkeypatch: pytest.MonkeyPatch, method: str, policy: str) -> None:
    monkeypatch.setattr(test_devices, "DEVICE", MPS)
    words = [*choose("method", method, ratio=3, skip_rejected=False), *choose("threshold", policy, warmup_epochs=1)]
    with fake_gpu(monkeypatch, device=MPS):
        problem = test_devices.there(toy_problem(unlabeled=90, channels=3))
        settings, state, context = test_devices.begun(monkeypatch, problem, *words)
        if "propagat" in method:
            count = len(problem.unlabeled) + len(problem.labeled)
            state.memory["propagated"] = torch.full((count, 3), 1 / 3, device=MPS)
        for position in (test_devices.FIRST, test_devices.SECOND):
            training_step(context, settings, state, position)
        assert state.running_sums.dtype == torch.float32


@pytest.mark.parametrize("augment", [each for each in options("augment") if each != "none"])
def test_an_augmentation_uses_no_float64(monkeypatch: pytest.MonkeyPatch, augment: str) -> None:
    monkeypatch.setattr(test_devices, "DEVICE", MPS)
    with fake_gpu(monkeypatch, device=MPS):
        problem = test_devices.there(toy_problem(unlabeled=90, channels=3))
        settings, state, context = test_devices.begun(monkeypatch, problem, "method=fixmatch", f"augment={augment}")
        training_step(context, settings, state, test_devices.FIRST)


def test_an_evaluation_and_a_labeling_use_no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_devices, "DEVICE", MPS)
    with fake_gpu(monkeypatch, kept=24, said=1, device=MPS) as gpu:
        problem = test_devices.there(toy_problem(channels=3))
        _, state, _ = test_devices.begun(monkeypatch, problem)
        evaluation = value_of(evaluate(state.teacher, problem.validation, 3, 5))
        evaluation.reliability(1.0), evaluation.what_if(0.5), evaluation.predictions(problem.validation)
        fit_temperature(evaluation.logits, evaluation.targets)
        test_devices.rounds(monkeypatch, gpu, problem)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("deterministic=true", "use deterministic=false"),
        ("precision=bfloat16", "use precision=float32"),
        ("compile=true", "use compile=false"),
    ],
)
def test_a_setting_that_mps_lacks_is_refused(mac: None, word: str, message: str) -> None:
    assert checked(*ON_MPS).run.device == "mps"
    with pytest.raises(SettingError, match=message):
        checked(*ON_MPS, word)


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Mac with a GPU, as far as it is asked."""
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: None)
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.5", ("", "", ""), "arm64"))
    done = subprocess.CompletedProcess([], 0, stdout="Apple M3 Pro\n")
    monkeypatch.setattr(device_names.subprocess, "run", lambda *_, **__: done)
    environment._fixed_environment.cache_clear()


def test_precision_and_memory_are_those_of_mps(mac: None) -> None:
    assert choose_precision("mps", lambda: False) == ("float32", "runs on mps use float32")
    assert checked("device=mps", "deterministic=false", "precision=auto").run.precision == "float32"
    assert memory_check.device_memory("mps") == memory_limit_bytes()


def test_the_environment_names_chip_and_macos(mac: None, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = environment.environment("mps")
    environment._fixed_environment.cache_clear()
    assert (recorded["device"], recorded["driver"]) == ("MPS, Apple M3 Pro", {"macos": "15.5"})
    newer = replace_key(recorded, "driver", {"macos": "16.0"})
    assert diff_environments(recorded, newer) == {"driver": "{'macos': '15.5'} then, {'macos': '16.0'} now"}


def replace_key(record: dict[str, object], key: str, value: object) -> dict[str, object]:
    return {**record, key: value}


@pytest.mark.parametrize(
    ("built", "message"), [(False, "this build of torch has no MPS"), (True, "this Mac has no GPU")]
)
def test_a_missing_mps_is_an_error(monkeypatch: pytest.MonkeyPatch, built: bool, message: str) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: built)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SettingError, match=message):
        require_device("mps")


def test_mps_under_torchrun_is_an_error(mac: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingError, match="one process"):
        require_device("mps")
