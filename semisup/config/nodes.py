"""The nodes of a config: those that name an option of a group, and the sections that belong to no group."""

from semisup.config import registry
from semisup.config.sections import CheckpointSettings, CollapseSettings, SweepSettings
from semisup.core.inference import LabelerSettings
from semisup.training.probe import ProbeSettings
from semisup.training.state import TrainSettings

GROUP_NODES = {group: group for group in registry.GROUPS} | {"weak": "augment"}
"""Every node of a config that names an option, and the group of the option."""

SECTIONS = {
    "train": TrainSettings,
    "probe": ProbeSettings,
    "labeler": LabelerSettings,
    "collapse": CollapseSettings,
    "checkpoint": CheckpointSettings,
    "sweep": SweepSettings,
}
