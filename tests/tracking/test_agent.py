"""A W&B sweep without W&B: wandb's own agent builds the command of examples/wandb_sweep.yaml and starts it, and a fake
server sees what comes of it.
"""

import json
import os
import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tracking.fake_server import FakeServer

pytest.importorskip("wandb")

SWEEP = Path(__file__).resolve().parents[2] / "examples" / "wandb_sweep.yaml"
QUICK = ["train.steps=4", "train.evaluate_every_steps=2", "model.widths=[4,8]", "plots=false"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """And an environment as on a machine where `wandb agent` was typed, in an empty folder."""
    fake = FakeServer()
    for name in os.environ:
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    for name, value in {
        "WANDB_BASE_URL": fake.url,
        "WANDB_API_KEY": "0" * 40,
        "WANDB_SWEEP_ID": "sweep7",
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    yield fake
    fake.close()
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_DIR"):  # the agent's own doing
        os.environ.pop(name, None)


def run_by_an_agent(run_id: str, values: dict[str, Any]) -> int:
    """What `wandb agent` does when W&B proposes these values; the exit status of the run."""
    from wandb.wandb_agent import Agent

    sweep = yaml.safe_load(SWEEP.read_text())
    agent = Agent(api=None, queue=queue.Queue())
    place = sweep["command"].index("${args_no_hyphens}")
    agent._sweep_command = [*sweep["command"][:place], *QUICK, *sweep["command"][place:]]
    arguments = {name: {"value": value} for name, value in values.items()}
    agent._command_run({"type": "run", "run_id": run_id, "program": sweep["program"], "args": arguments})
    process = agent._run_processes[run_id]
    limit = time.monotonic() + 120
    while (status := process.poll()) is None:
        assert time.monotonic() < limit
        time.sleep(0.1)
    return int(status)


def test_agent_command_trains_the_proposed_run_under_the_agents_id(tmp_path: Path, server: FakeServer) -> None:
    values = {"threshold.tau": 0.7, "augment.strength": 0.25, "seed": 2}
    assert set(values) == set(yaml.safe_load(SWEEP.read_text())["parameters"]), "all that W&B would propose"
    assert run_by_an_agent("proposed1", values) == 0
    (run,) = (path.parent for path in tmp_path.glob("outputs/wandb_sweep/*/config.yaml"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["threshold"]["tau"], config["augment"]["strength"], config["seed"]) == (0.7, 0.25, 2)
    summary = json.loads((run / "summary.json").read_text())
    assert list(server.runs) == ["proposed1"], "the agent's run and no other"
    assert server.runs["proposed1"]["sweep"] == "sweep7"
    shown = json.loads(server.runs["proposed1"]["config"])
    assert shown["threshold.tau"]["value"] == 0.7, "as the sweep names it"
    assert shown["threshold"]["value"]["tau"] == 0.7
    lines = server.lines["proposed1"]["wandb-summary.json"]
    goal = yaml.safe_load(SWEEP.read_text())["metric"]["name"]
    assert lines[max(lines)][goal] == summary[goal]
    assert server.ended == {"proposed1": 0}

    before = (run / "summary.json").stat().st_mtime_ns
    assert run_by_an_agent("proposed2", values) == 0
    assert (run / "summary.json").stat().st_mtime_ns == before, "trained once"
    lines = server.lines["proposed2"]["wandb-summary.json"]
    assert lines[max(lines)][goal] == summary[goal], "and W&B is told again"
    assert len(server.history("proposed2")) == len(server.history("proposed1")) > 0
    assert server.ended["proposed2"] == 0
