"""Settings of a run outside config groups: name, device, checkpoints, sweeps, detection of collapse."""

import re
from dataclasses import dataclass

from semisup.errors import SettingError, check_choice, check_range
from semisup.runtime.file_names import is_refused

SLUG = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,99}")
DEVICES = r"cpu|mps|cuda(:\d+)?"
"""Regular expression of the allowed values of the setting `device`."""

RESERVED = ("wandb",)  # W&B writes to outputs/wandb


@dataclass(frozen=True)
class CheckpointSettings:
    """Settings of how often the training state is saved, explained under `checkpoint` in `conf/train.yaml`."""

    every_seconds: float
    every_steps: int | None

    def __post_init__(self) -> None:
        check_range("every_seconds", self.every_seconds, 0)
        check_range("every_steps", self.every_steps, 1)


@dataclass(frozen=True)
class SweepSettings:
    """Settings of a sweep, explained under `sweep` in `conf/train.yaml`."""

    control: bool
    minutes: float | None
    fail_fast: bool
    share_start: bool

    def __post_init__(self) -> None:
        check_range("minutes", self.minutes, 0, above=True)


@dataclass(frozen=True)
class CollapseSettings:
    """Settings of the check whether pseudo-labels collapse to few classes (`collapse` in `conf/train.yaml`).

    The check compares the ratio of two entropies with limits: the entropy of the classes of the selected pseudo-labels,
    divided by the entropy of the classes of the validation images.

    warn_below: a ratio below this limit causes a warning; in [0, 1], null = never
    stop_below: a ratio below this limit stops the run; in [0, 1], null = never
    """

    warn_below: float | None
    stop_below: float | None

    def __post_init__(self) -> None:
        check_range("warn_below", self.warn_below, 0, 1)
        check_range("stop_below", self.stop_below, 0, 1)


@dataclass(frozen=True)
class RunSettings:
    """Top-level settings of a run: the keys of train.yaml, such as `seed`, that are not inside a group or section."""

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
            raise SettingError(
                "name",
                self.name,
                "must start with a letter, have at most 100 letters, digits, dots, - and _, and not be wandb",
            )
        if is_refused(self.name):
            raise SettingError("name", self.name, "is a name that Windows reserves or changes; use another name")
        check_range("seed", self.seed, 0, 2**32 - 1)
        check_range("threads", self.threads, 1, 1024)
        check_choice("precision", self.precision, ("auto", "float32", "bfloat16"))
        if not re.fullmatch(DEVICES, self.device):
            raise SettingError("device", self.device, "must be auto, cpu, mps, cuda or cuda:<number>")
        if self.device == "mps":
            self._check_mps()

    def _check_mps(self) -> None:
        """Check the settings of a run with `device=mps`, the GPU of a Mac.

        Raises:
            SettingError: a setting is not supported with this device.
        """
        if self.precision == "bfloat16":
            raise SettingError("precision", self.precision, "runs with device=mps use float32; use precision=float32")
        if self.compile:
            raise SettingError("compile", True, "is not supported with device=mps; use compile=false")
        if self.deterministic:
            raise SettingError(
                "deterministic",
                True,
                "results of torch on mps differ from run to run; with device=mps, use deterministic=false",
            )
