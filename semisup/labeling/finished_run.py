"""Check that a directory belongs to a finished run, without importing torch."""

from pathlib import Path

from semisup.errors import RecordError
from semisup.record import is_finished
from semisup.record.reader import example_run


def check_finished(run: Path) -> None:
    """Raise RecordError unless `run` is the directory of a finished run."""
    if not (run / "config.yaml").is_file():
        needs = f"it must hold config.yaml{example_run(run, 'summary.json')}"
        raise RecordError(f"{run}: is not a run directory; {needs}")
    if not is_finished(run):
        raise RecordError(f"{run}: the run is not finished; repeat the command that trained it, which continues it")
