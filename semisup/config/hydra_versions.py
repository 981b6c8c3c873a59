"""Call Hydra 1.3 or 1.4 and OmegaConf 2.3 or 2.4 without deprecation warnings.

Hydra 1.3 warns if `version_base` is missing, and Hydra 1.4 warns if it is given. OmegaConf 2.4 renamed
`register_new_resolver` to `register_resolver`. In OmegaConf 2.3, `register_resolver` is another function, with other
arguments.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import hydra
import omegaconf
from omegaconf import DictConfig, OmegaConf


def release(version: str) -> tuple[int, int]:
    """Parse the first two numbers of a version: `1.4.0rc3` -> (1, 4)."""
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


VERSION_BASE: dict[str, str] = {} if release(hydra.__version__) >= (1, 4) else {"version_base": "1.3"}
"""Keyword arguments of Hydra's functions: `version_base` for Hydra 1.3, none for Hydra 1.4."""


SINGLE_RUN: tuple[str, ...] = ("--run", "hydra.mode=RUN") if release(hydra.__version__) >= (1, 4) else ("--run",)
"""Words of a command line that make Hydra run one job, also if an experiment sets `hydra.mode: MULTIRUN`.

Hydra 1.4 refuses an experiment that changes the mode, unless the command line sets it.
"""


def initialized(folder: Path) -> AbstractContextManager[None]:
    """Return a context in which `hydra.compose` composes configs from the YAML files in a folder."""
    context: AbstractContextManager[None] = hydra.initialize_config_dir(str(folder), **VERSION_BASE)
    return context


def main(task: Callable[[DictConfig], Any], folder: Path, name: str) -> None:
    """Run Hydra's command line with the words of `sys.argv`.

    Hydra composes the config `name` from the YAML files in `folder`, and calls `task` with the config of each job.
    """
    hydra.main(config_path=str(folder), config_name=name, **VERSION_BASE)(task)()


def register_resolver(name: str, function: Callable[..., Any]) -> None:
    """Register a function that YAML files can call as `${name:argument}`.

    If the name is already registered, its function is replaced.
    """
    is_renamed = release(omegaconf.__version__) >= (2, 4)
    register = getattr(OmegaConf, "register_resolver" if is_renamed else "register_new_resolver")
    register(name, function, replace=True)
