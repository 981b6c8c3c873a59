"""Pretrained weights that changed since a run began."""

from pathlib import Path
from typing import Any

from semisup.config.run_id import ConfigDict, result_config
from semisup.config.schema import RunConfig
from semisup.errors import RecordError, SettingError, escape
from semisup.record import is_finished
from semisup.record.checkpoint import newest
from semisup.record.reader import read_config


def check_weights_unchanged(run_config: RunConfig, folder: Path) -> None:
    """Refuse to start a run beside an unfinished one that differs in nothing but the file of its weights.

    The digest of the file is part of a run's id, so that a replaced file would silently begin another run where the
    command is meant to continue the first.

    Raises:
        SettingError: there is such a run; names both digests.
    """
    digest = getattr(run_config.settings.model, "sha256", None)
    if digest is None or folder.exists():
        return
    mine = _without_digest(run_config.config)
    for other in sorted(folder.parent.glob(f"{folder.name.rpartition('-')[0]}-*")):
        if is_finished(other) or not newest(other / "checkpoints", "last"):
            continue
        try:
            config = read_config(other / "config.yaml")
            same = _without_digest(config) == mine
        except (RecordError, SettingError, LookupError, TypeError, AttributeError):
            continue  # not a record that this command could continue
        if same:
            allowed = (
                f"its sha256 is {digest}, but the unfinished run {escape(other.name)} began with "
                f"{escape(config['model']['sha256'])}; put that file back, use another name=, or delete {escape(other)}"
            )
            raise SettingError("model.weights", run_config.config["model"]["weights"], allowed)


def _without_digest(config: ConfigDict) -> dict[str, Any]:
    result = result_config(config)
    return result | {"model": result["model"] | {"sha256": None}}
