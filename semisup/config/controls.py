"""What a run is to be compared with: labels only, trained beside it."""

from collections.abc import Mapping
from typing import Any

from semisup.config.run_id import ConfigDict

REFERENCE_KINDS = ("control", "baseline")
"""Of `reference_configs`."""


def control_config(config: ConfigDict, summary: Mapping[str, Any]) -> ConfigDict:
    """Labels only, the same augmentation and model, and as many optimizer steps as the run took."""
    steps = {"epochs": None, "steps": summary["steps"]}
    return config | {"method": {"name": "supervised"}, "train": config["train"] | steps}


def baseline_config(config: ConfigDict, summary: Mapping[str, Any]) -> ConfigDict:
    """Labels only, no augmentation, and only as many steps as the run spent on labels."""
    steps = {"epochs": None, "steps": summary["labeled_steps"]}
    none = {"name": "none", "strength": 0.0}
    return config | {"method": {"name": "supervised"}, "augment": none, "train": config["train"] | steps}


def reference_configs(config: ConfigDict, summary: Mapping[str, Any]) -> dict[str, ConfigDict]:
    """What a finished run with these settings is to be compared with."""
    return {"control": control_config(config, summary), "baseline": baseline_config(config, summary)}
