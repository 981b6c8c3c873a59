"""Choose the setting `name`, and so the directory, of a reproduction: a new one, or that of an interrupted one."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.errors import InUseError
from semisup.record import is_finished
from semisup.record.lock import RunLock
from semisup.record.reader import read_json, read_section
from semisup.record.status import RunStatus

if TYPE_CHECKING:
    from semisup.config.schema import RunConfig

PREFIX = "reproduced-"
RESUMABLE = (RunStatus.RUNNING, RunStatus.INTERRUPTED, RunStatus.FAILED)


def new_name() -> str:
    """Create a new value of the setting `name` for a reproduction, such as `reproduced-1a2b3c`."""
    return f"{PREFIX}{secrets.token_hex(3)}"


def interrupted_name(run_config: "RunConfig", source: Path) -> str | None:
    """Find the latest unfinished reproduction of a run that can be continued.

    It must have the same config and the same environment, and no process may be training it.

    Args:
        run_config: the config of the reproduction.
        source: directory of the original run.

    Returns:
        The value of the setting `name` of the unfinished reproduction; None if there is none.
    """
    root = Path(run_config.run.output_root).expanduser()
    folders = [
        folder for folder in root.glob(f"{PREFIX}*/{run_config.id}") if _is_resumable(run_config, folder, source)
    ]
    return max(folders, key=lambda folder: (folder.stat().st_mtime, folder)).parent.name if folders else None


def _is_resumable(run_config: "RunConfig", folder: Path, source: Path) -> bool:
    about: dict[str, Any] = read_json(folder / "run.json") or {}
    if is_finished(folder) or about.get("status") not in RESUMABLE or about.get("reproduces") != str(source.resolve()):
        return False
    from semisup.record.environment import diff_environments  # imports torch
    from semisup.runner.metadata import environment_of

    if diff_environments(read_section(about, "environment"), environment_of(run_config)):
        return False
    try:
        RunLock(folder).check()
    except InUseError:
        return False
    return True
