"""Stand-ins for SLURM on one machine: `install` puts sbatch, srun, scontrol, sacct and scancel into a folder for PATH.

sbatch FILE              runs the jobs of its array
srun --OPTIONS COMMAND   the command, its output into the files of --output and --error
scontrol requeue ID      when the job has ended it starts again, with the same ID
scancel ID --signal S    sends S to the job's own process
sacct                    RUNNING, COMPLETED or FAILED of every job
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

PROGRAMS = ("sbatch", "srun", "scontrol", "sacct", "scancel")
HERE = Path(os.environ.get("FAKE_SLURM", "."))  # the state files of the jobs


def install(folder: Path) -> dict[str, str]:
    """Install the programs; return the environment in which they are on PATH."""
    (folder / "bin").mkdir(parents=True)
    for word in PROGRAMS:
        path = folder / "bin" / word
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {word} "$@"\n')
        path.chmod(0o755)
    return os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "FAKE_SLURM": str(folder)}


def sbatch(script: str) -> None:
    """Start a process that runs the jobs, and print the number of the array."""
    shutil.copy(script, HERE / "submitted.sh")
    print("Submitted batch job 7", flush=True)
    log = (HERE / "slurm.log").open("ab")
    again = [sys.executable, __file__, "array", str(HERE / "submitted.sh")]
    subprocess.Popen(again, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def array(script: str) -> None:
    """Run the jobs of the array one after another, each again as often as it is requeued."""
    match = re.search(r"--array=0-(\d+)%", Path(script).read_text())
    for number in range(int(match[1]) + 1 if match else 1):
        name = f"7_{number}"
        environment = os.environ | {
            "SLURM_JOB_ID": str(8 + number),
            "SLURM_ARRAY_JOB_ID": "7",
            "SLURM_ARRAY_TASK_ID": str(number),
            "FAKE_JOB": name,
        }
        queued = True
        while queued:
            (HERE / f"{name}.state").write_text("RUNNING")
            code = subprocess.run(["bash", script], env=environment, check=False).returncode
            queued = (HERE / f"{name}.requeue").exists()
            (HERE / f"{name}.requeue").unlink(missing_ok=True)
        (HERE / f"{name}.state").write_text("FAILED" if code else "COMPLETED")


def srun(*words: str) -> None:
    """Replace this process by the command, with its output redirected."""
    rest = list(words)
    while rest[0].startswith("--"):
        option = rest.pop(0)
        if option in ("--output", "--error"):
            where = re.sub("%A", "7", rest.pop(0)).replace("%a", os.environ["SLURM_ARRAY_TASK_ID"]).replace("%t", "0")
            Path(where).parent.mkdir(parents=True, exist_ok=True)
            file = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1 if option == "--output" else 2)
    (HERE / f"{os.environ['FAKE_JOB']}.pid").write_text(str(os.getpid()))
    os.execvp(rest[0], rest)


def scontrol(word: str, job: str) -> None:
    assert word == "requeue"
    (HERE / f"{job}.requeue").touch()


def scancel(job: str, _: str, name: str) -> None:
    os.kill(int((HERE / f"{job}.pid").read_text()), getattr(signal, f"SIG{name.removeprefix('SIG')}"))


def sacct(*_: str) -> None:
    print("JobID|State|NodeList")
    for path in sorted(HERE.glob("*.state")):
        print(f"{path.stem}|{path.read_text()}|here")


if __name__ == "__main__":
    actions = {each.__name__: each for each in (sbatch, array, srun, scontrol, scancel, sacct)}
    actions[sys.argv[1]](*sys.argv[2:])
