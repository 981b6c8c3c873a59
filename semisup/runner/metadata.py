"""What is said of a run besides its numbers: in run.json, and in W&B."""

from pathlib import Path
from typing import Any

from semisup.config.run_id import ConfigDict
from semisup.config.schema import RunConfig
from semisup.dataset import SPLITS, Data
from semisup.model import Pretrained
from semisup.record.environment import command_line, environment
from semisup.runtime.torchrun_env import world_size
from semisup.tracking import RunInfo


def initial_metadata(run_config: RunConfig, job_type: str) -> dict[str, Any]:
    """What run.json says besides status, times and data."""
    model = run_config.settings.model
    weights = model.weights_info() if isinstance(model, Pretrained) else None
    return {
        "id": run_config.id,
        "name": run_config.run.name,
        "job_type": job_type,
        "command": command_line(),
        "environment": environment_of(run_config),
        **({} if weights is None else {"weights": weights._asdict()}),
    }


def environment_of(run_config: RunConfig) -> dict[str, Any]:
    """What the numbers of a run that starts now depend on besides its config."""
    return {**environment(run_config.run.device), "threads": run_config.run.threads, "processes": world_size()}


def dataset_metadata(data: Data) -> dict[str, Any]:
    """What run.json says of the data."""
    return {
        "fingerprint": data.fingerprint,
        "classes": list(data.classes),
        "channels": data.labeled.pixels.shape[1],
        "counts": {split: len(getattr(data, split)) for split in SPLITS},
    }


def wandb_info(config: ConfigDict, id_: str, output_root: Path, job_type: str) -> RunInfo:
    """What a run is called in W&B, whoever shows it there, and whenever."""
    return RunInfo(
        run_id=f"{config['name']}-{id_}"[-128:],
        name=id_,
        group=config["name"],
        job_type=job_type,
        tags=tuple(config[group]["name"] for group in ("method", "threshold", "augment")),
        folder=output_root / "wandb",
        config=config,
    )
