"""Check the parent run (`from.run`): the finished run whose best model another run starts from."""

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
"""Section -> settings that may differ between a run and its parent run."""


def identify_parent(parent: ParentSettings, config: ConfigDict) -> ParentSettings:
    """Check the parent run, and set `checkpoint` to the file name of its best model.

    Args:
        parent: the settings `from.run` and `from.checkpoint`.
        config: config of the run that starts from the parent run, with the digests of its pretrained weights.

    Returns:
        The settings with `checkpoint`; `parent` itself if there is no parent run.

    Raises:
        SettingError: the parent run is not finished, trained no network, has another best model than `checkpoint`, or
            has another model or encoder than this run.
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
        allowed = (
            f"its best model is {escape(names[0])}, but this run starts from {escape(parent.checkpoint)} "
            "(from.checkpoint); give the run directory that contains this file"
        )
        raise SettingError("from.run", parent.run, allowed)
    _check_same_model(parent.run, before, config)
    return replace(parent, checkpoint=parent.checkpoint or names[0])


def _read_parent(run: Path) -> tuple[ConfigDict, list[str]]:
    """Read the config of a finished run and the file names of its best models, newest first.

    Raises:
        RecordError: the directory is not that of a finished run that trained a network, or its best model is missing.
        OSError: the directory cannot be read.
    """
    check_finished_run(run)
    config = read_config(run / "config.yaml")
    classifier = read_section(config, "probe").get("classifier")
    if classifier is not None:
        raise RecordError(
            f"the run is a probe ({escape(classifier)}), which trains no network; give a run that trained one"
        )
    best = checkpoint.newest(run / "checkpoints", "best")
    if not best:
        raise RecordError("the best model of the run is missing (checkpoints/best-*.pt)")
    return config, [path.name for path in best]


def _check_same_model(run: str, before: ConfigDict, config: ConfigDict) -> None:
    """Raise SettingError if the parent run has another model or encoder than this run.

    Args:
        run: directory of the parent run.
        before: config of the parent run.
        config: config of this run.
    """
    for section, keys in UNCOMPARED.items():
        then, now = (_without(read_section(each, section), keys) for each in (before, config))
        for key in sorted(then.keys() | now.keys(), key=lambda key: (key != "name", str(key))):
            if then.get(key) != now.get(key):
                name = section if key == "name" else f"{section}.{escape(key)}"
                allowed = f"has {name}={escape(then.get(key))}, and this run {escape(now.get(key))}; both must be equal"
                raise SettingError("from.run", run, allowed)


def _without(node: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key not in keys}
