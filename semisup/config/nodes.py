"""Nodes of a config (its nested dictionaries): options of a group, and sections that belong to no group."""

from semisup.config import registry
from semisup.config.sections import CheckpointSettings, CollapseSettings, SweepSettings
from semisup.core.inference import LabelerSettings
from semisup.training.parent import ParentSettings
from semisup.training.probe import ProbeSettings
from semisup.training.state import TrainSettings

GROUP_NODES = {group: group for group in registry.GROUPS} | {"weak": "augment"}
"""Node of a config that names an option -> the group of the option."""

SECTIONS = {
    "train": TrainSettings,
    "from": ParentSettings,
    "probe": ProbeSettings,
    "labeler": LabelerSettings,
    "collapse": CollapseSettings,
    "checkpoint": CheckpointSettings,
    "sweep": SweepSettings,
}
