"""The settings of a run that belong to no group: how it is computed and named, when it is saved, what a sweep does."""

import re
from dataclasses import dataclass

from semisup.errors import SettingError, check_choice, check_range

SLUG = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")
RESERVED = ("wandb",)  # outputs/wandb is W&B's own folder


@dataclass(frozen=True)
class CheckpointSettings:
    """`every_seconds` >= 0: the state is saved after the first step or epoch that ends this long after the last save;
    `every_steps` >= 1, or null: also after every so many steps."""

    every_seconds: float
    every_steps: int | None

    def __post_init__(self) -> None:
        check_range("every_seconds", self.every_seconds, 0)
        check_range("every_steps", self.every_steps, 1)


@dataclass(frozen=True)
class SweepSettings:
    """`control`: also train, for each run of a sweep, its control and its baseline; `fail_fast`: start no further run
    once one has failed; `share_start`: what several runs have in common until the pool is labeled is made once."""

    control: bool
    fail_fast: bool
    share_start: bool


@dataclass(frozen=True)
class CollapseSettings:
    """When the pseudo-labels have run together into few classes: both in [0, 1], or null = never.

    They are compared with the entropy of the classes that are kept, over that of the classes of the validation set.
    `warn_below`: a warning, once; `stop_below`: the run stops, exit status 3.
    """

    warn_below: float | None
    stop_below: float | None

    def __post_init__(self) -> None:
        check_range("warn_below", self.warn_below, 0, 1)
        check_range("stop_below", self.stop_below, 0, 1)


@dataclass(frozen=True)
class RunSettings:
    """Every key of train.yaml that is in no group and no section."""

    name: str
    seed: int
    output_root: str
    definitions: int
    threads: int
    device: str
    precision: str
    channels_last: bool
    compile: bool
    deterministic: bool
    plots: bool

    def __post_init__(self) -> None:
        if not SLUG.fullmatch(self.name) or self.name in RESERVED:
            allowed = (
                "must start with a letter, hold letters, digits, dots, - and _ only (at most 100), and not be wandb"
            )
            raise SettingError("name", self.name, allowed)
        check_range("seed", self.seed, 0, 2**32 - 1)
        check_range("threads", self.threads, 1, 1024)
        check_choice("precision", self.precision, ("auto", "float32", "bfloat16"))
        if not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise SettingError("device", self.device, "must be auto, cpu, cuda or cuda:<number>")
