"""Test that a job waits for a run that another job trains, and then uses its result."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from semisup.runner import result
from semisup.runner import run as run_module
from semisup.runner.progress import Bars
from tests.runner.test_shared_start import OWNER, checked, made_up

__all__ = ["made_up"]


def test_waiting_for_another_job_polls_the_lock_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, calls = run_module.run, []

    def counted(*values: Any, **options: Any) -> result.RunResult:
        calls.append(1)
        return run(*values, **options)

    monkeypatch.setattr(run_module, "run", counted)
    wanted = checked(tmp_path, "together", "train.steps=3")
    folder = result.run_folder(wanted)
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", OWNER, folder], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"taken\n"
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(run_module.run_or_wait, wanted, Bars())
            while not calls:
                time.sleep(0.05)
            time.sleep(5 * run_module.WAIT_SECONDS)
            assert not waiting.done()
            assert len(calls) == 1
            other.kill()
            outcome = waiting.result(timeout=60)
    assert (outcome.status, len(calls)) == ("done", 2), outcome.message
