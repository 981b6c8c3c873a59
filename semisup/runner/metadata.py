"""Describe a run for run.json and W&B: environment, data set, names."""

from pathlib import Path
from typing import Any

from semisup.config.compose import config_folder
from semisup.config.run_id import ConfigDict
from semisup.config.schema import RunConfig
from semisup.dataset import SPLITS, Data
from semisup.model import Pretrained
from semisup.record.environment import command_line, environment
from semisup.record.reader import read_config
from semisup.runtime.torchrun_env import world_size
from semisup.tracking import RunInfo


def job_type(reproduces: Path | None) -> str:
    """Return the type of a run for run.json and W&B: `train`, or `reproduce` for a reproduction.

    Args:
        reproduces: the run directory or config.yaml that the run reproduces; None if it is not a reproduction.
    """
    return "train" if reproduces is None else "reproduce"


def initial_metadata(run_config: RunConfig, reproduces: Path | None) -> dict[str, Any]:
    """Create the content of run.json at the start of a run, without status, times and data set.

    Args:
        reproduces: the run directory or config.yaml that the run reproduces; None if it is not a reproduction.
    """
    model = run_config.settings.model
    weights = model.weights_info() if isinstance(model, Pretrained) else None
    return {
        "id": run_config.id,
        "name": run_config.run.name,
        "job_type": job_type(reproduces),
        **({} if reproduces is None else {"reproduces": str(reproduces.resolve())}),
        "command": command_line(),
        "environment": environment_of(run_config),
        **({} if weights is None else {"weights": weights._asdict()}),
        **({} if run_config.precision_reason is None else {"precision_reason": run_config.precision_reason}),
    }


def environment_of(run_config: RunConfig) -> dict[str, Any]:
    """Describe the properties of the machine that can change a run's results, such as CPU and package versions."""
    return {**environment(run_config.run.device), "threads": run_config.run.threads, "processes": world_size()}


def dataset_metadata(data: Data, features: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe the data set for run.json.

    Args:
        features: description of the stored features, to include; None without an encoder.
    """
    return {
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "channels": data.labeled.pixels.shape[1],
        "counts": {split: len(getattr(data, split)) for split in SPLITS},
        **({} if features is None else {"features": features}),
    }


def wandb_info(config: ConfigDict, id_: str, output_root: Path, job_type: str) -> RunInfo:
    """Create the id, name, group and tags of a run for W&B.

    Args:
        config: the config of the run.
        id_: id of the run, the name of its directory.
        output_root: folder in which W&B's files are written, in the subfolder `wandb`.
        job_type: `train` or `reproduce`.
    """
    return RunInfo(
        run_id=f"{config['name']}-{id_}"[-128:],
        name=id_,
        group=config["name"],
        job_type=job_type,
        tags=tuple(config[group]["name"] for group in ("method", "threshold", "augment")),
        folder=output_root / "wandb",
        config=config,
        defaults=read_config(config_folder() / "tracking" / "wandb.yaml"),
    )
