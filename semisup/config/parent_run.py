"""Find and check the run from whose best model another run starts (`from.run`)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from semisup.config.run_id import IGNORED_ENCODER_KEYS, ConfigDict
from semisup.errors import RecordError, SettingError
from semisup.record import checkpoint
from semisup.record.reader import read_config, read_section
from semisup.record.run_check import check_finished_run
from semisup.text import escape
from semisup.training.parent import ParentSettings

UNCOMPARED = {"model": ("weights",), "encoder": ("weights", "views", "view_seed", *IGNORED_ENCODER_KEYS)}
"""Settings in which the runs may differ: the paths of files, which their digests identify, and how views are stored."""


def identify_parent(parent: ParentSettings, config: ConfigDict) -> ParentSettings:
    """Return the settings of the parent run with `checkpoint`, the name of its best model, filled in.

    Args:
        config: config of the run that starts from the parent run, with the digests of its weights.

    Raises:
        SettingError: the directory is not that of a finished run that trained its model, its best model is another one
            than `checkpoint` names, or the models or encoders of both runs differ.
    """
    if parent.run is None:
        if parent.checkpoint is not None:
            raise SettingError("from.checkpoint", parent.checkpoint, "must be null where from.run is null")
        return parent
    try:
        before, names = _read_parent(Path(parent.run))
    except RecordError as error:
        raise SettingError("from.run", parent.run, str(error)) from None
    except OSError as error:
        raise SettingError("from.run", parent.run, f"cannot be read: {error.strerror}") from None
    if parent.checkpoint is not None and parent.checkpoint not in names:
        allowed = f"its best model is {escape(names[0])}, and this run starts from {escape(parent.checkpoint)}"
        raise SettingError("from.run", parent.run, allowed)
    _check_same_model(parent.run, before, config)
    return replace(parent, checkpoint=parent.checkpoint or names[0])


def _read_parent(run: Path) -> tuple[ConfigDict, list[str]]:
    """Read the config of a finished run and the names of its best models, newest first.

    Raises:
        RecordError: the directory is not that of a finished run that trained its model.
        OSError: the directory cannot be read.
    """
    check_finished_run(run)
    config = read_config(run / "config.yaml")
    classifier = read_section(config, "probe").get("classifier")
    if classifier is not None:
        raise RecordError(f"the run is a probe ({escape(classifier)}); must be a run that trained its model")
    best = checkpoint.newest(run / "checkpoints", "best")
    if not best:
        raise RecordError("the best model of the run is missing (checkpoints/best-*.pt)")
    return config, [path.name for path in best]


def _check_same_model(run: str, before: ConfigDict, config: ConfigDict) -> None:
    """Raise SettingError if the parent run, whose config is `before`, has another model or encoder than this run."""
    for section, keys in UNCOMPARED.items():
        then, now = (_without(read_section(each, section), keys) for each in (before, config))
        for key in sorted(then.keys() | now.keys(), key=lambda key: (key != "name", str(key))):
            if then.get(key) != now.get(key):
                name = section if key == "name" else f"{section}.{escape(key)}"
                allowed = f"has {name}={escape(then.get(key))}, and this run {escape(now.get(key))}; both must be equal"
                raise SettingError("from.run", run, allowed)


def _without(node: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key not in keys}
