"""Without wandb installed everything else works, and tracking=wandb is rejected."""

import json
import os
import sys
from pathlib import Path

from PIL import Image

from semisup.runner.result import run_folder
from tests import preloaded
from tests.conftest import checked

ROOT = Path(__file__).resolve().parents[2]
NEEDED = "tracking=wandb: needs the package wandb, which is not installed; pip install wandb, or tracking=none"


def test_everything_except_tracking_works_without_wandb(tmp_path: Path) -> None:
    words = ["train.steps=2", "model.widths=[4,8]", "plots=false", f"output_root={tmp_path / 'outputs'}", "device=cpu"]
    run = run_folder(checked(*words))
    (tmp_path / "images").mkdir()
    Image.new("L", (8, 8), 90).save(tmp_path / "images" / "one.png")
    commands = {
        ("train", *words, "tracking=none"): 0,
        ("train", *words, "seed=1"): 2,
        ("train", *words, "-m", "seed=1,2"): 2,
        ("predict", str(run), str(tmp_path / "images")): 0,
        ("reproduce", str(run), "tracking=none", f"output_root={tmp_path / 'again'}", "plots=false"): 0,
        ("reproduce", str(run), "tracking.mode=offline"): 2,
        ("show", str(run)): 0,
        ("track", str(run)): 2,
    }
    command = [sys.executable, "-m", "tests.without_wandb", json.dumps([*commands])]
    environment = {key: value for key, value in os.environ.items() if key != "WANDB_MODE"}
    done = preloaded.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    ends = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("exit ")]
    assert ends == [*commands.values()], done.stdout + done.stderr
    assert done.stderr.count(NEEDED) == list(commands.values()).count(2), done.stderr
    assert "Traceback" not in done.stderr
    assert [each.name for each in (tmp_path / "outputs" / "runs").iterdir()] == [run.name], "refused before any work"
    assert json.loads((run / "run.json").read_text())["environment"]["packages"]["wandb"] is None
