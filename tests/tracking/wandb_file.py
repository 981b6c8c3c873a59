"""Read a .wandb file with W&B's own reader, without the imports of `wandb leet inspect` (2 s of CPU time)."""

import subprocess
from pathlib import Path


def inspect(path: Path, *flags: str) -> str:
    """Return what `wandb leet inspect --json FLAGS PATH` prints; its program is called as the command calls it."""
    from wandb.util import get_core_path

    command = [get_core_path(), "leet", "inspect", "--no-observability", *flags, "--json"]
    command += ["--run-file", str(path), str(path.parent.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=path.parent)
    return done.stdout
