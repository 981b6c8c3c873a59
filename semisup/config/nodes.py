"""Names of the nested dictionaries (nodes) of a config: each holds an option of a config group, or is a section."""

from semisup.config import registry
from semisup.config.sections import CheckpointSettings, CollapseSettings, SweepSettings
from semisup.core.inference import LabelerSettings
from semisup.training.parent import ParentSettings
from semisup.training.probe import ProbeSettings
from semisup.training.settings import TrainSettings

GROUP_NODES = {group: group for group in registry.GROUPS} | {"weak": "augment"}
"""Node that holds an option of a config group -> the group."""

SECTIONS = {
    "train": TrainSettings,
    "from": ParentSettings,
    "probe": ProbeSettings,
    "labeler": LabelerSettings,
    "collapse": CollapseSettings,
    "checkpoint": CheckpointSettings,
    "sweep": SweepSettings,
}
