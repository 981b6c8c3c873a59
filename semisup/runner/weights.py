"""Detect files of pretrained weights that are missing, or that have changed since a run began."""

from pathlib import Path
from typing import Any

from semisup.config.run_id import ConfigDict, result_config
from semisup.config.schema import RunConfig
from semisup.encoder import Encoder
from semisup.errors import RecordError, SettingError
from semisup.model import Pretrained
from semisup.record import is_finished
from semisup.record.checkpoint import newest
from semisup.record.reader import read_config
from semisup.text import escape

SECTIONS = ("model", "encoder")
"""Sections of a config that can name a file of weights."""


def check_weights_unchanged(run_config: RunConfig, folder: Path) -> None:
    """Check that no weights file has changed since an unfinished run with the same settings began.

    The digest of the file is part of a run's id. So after a change, the command would start a new run instead of
    continuing the unfinished one.

    Args:
        folder: directory of the run.

    Raises:
        SettingError: a file has changed.
    """
    digests = _digests(run_config.config)
    if not digests or folder.exists():
        return
    mine = _without_digests(run_config.config)
    for other in sorted(folder.parent.glob(f"{folder.name.rpartition('-')[0]}-*")):
        if is_finished(other) or not newest(other / "checkpoints", "last"):
            continue
        try:
            config = read_config(other / "config.yaml")
            same, before = _without_digests(config) == mine, _digests(config)
        except (RecordError, SettingError, LookupError, TypeError, AttributeError):
            continue  # not a record that this command could continue
        for section, digest in digests.items():
            if same and before.get(section) != digest:
                raise SettingError(
                    f"{section}.weights",
                    run_config.config[section].get("weights"),
                    f"its sha256 is {digest}, but the unfinished run {escape(other.name)} began with "
                    f"{escape(before.get(section))}; restore that file, use another name=NAME, or "
                    f"delete {escape(other)}",
                )


def check_weights_present(run_config: RunConfig, advice: str) -> None:
    """Raise SettingError if pretrained weights of a run are not on this machine.

    Args:
        advice: part of the message before the URL of the weights, such as "download them from".
    """
    for section, settings in (("model", run_config.settings.model), ("encoder", run_config.encoder)):
        if isinstance(settings, Pretrained | Encoder) and (address := settings.download_url()):
            allowed = f"the weights are not on this machine; {advice} {address}"
            raise SettingError(f"{section}.weights", run_config.config[section].get("weights"), allowed)


def _digests(config: ConfigDict) -> dict[str, str]:
    """Return the digests of the pretrained weights in a config, as `model` or `encoder` -> sha256."""
    return {section: config[section]["sha256"] for section in SECTIONS if config[section].get("sha256") is not None}


def _without_digests(config: ConfigDict) -> dict[str, Any]:
    result = result_config(config)
    return result | {section: result[section] | {"sha256": None} for section in SECTIONS if section in result}
