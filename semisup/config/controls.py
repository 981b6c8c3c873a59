"""What a run is to be compared with: labels only, trained beside it."""

from collections.abc import Mapping
from typing import Any

from semisup.config.run_id import Plain

KINDS = ("control", "baseline")
"""Of `companions`."""


def control_of(plain: Plain, summary: Mapping[str, Any]) -> Plain:
    """Labels only, the same augmentation and model, and as many optimizer steps as the run took."""
    steps = {"epochs": None, "steps": summary["steps"]}
    return plain | {"method": {"name": "supervised"}, "train": plain["train"] | steps}


def baseline_of(plain: Plain, summary: Mapping[str, Any]) -> Plain:
    """Labels only, no augmentation, and only as many steps as the run spent on labels."""
    steps = {"epochs": None, "steps": summary["labeled_steps"]}
    none = {"name": "none", "strength": 0.0}
    return plain | {"method": {"name": "supervised"}, "augment": none, "train": plain["train"] | steps}


def companions(plain: Plain, summary: Mapping[str, Any]) -> dict[str, Plain]:
    """What a finished run with these settings is to be compared with."""
    return {"control": control_of(plain, summary), "baseline": baseline_of(plain, summary)}
