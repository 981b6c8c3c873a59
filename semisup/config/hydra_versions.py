"""Call Hydra 1.3 or 1.4 and OmegaConf 2.3 or 2.4 without deprecation warnings.

Hydra 1.3 warns if `version_base` is missing, and Hydra 1.4 warns if it is given. OmegaConf 2.4 renamed
`register_new_resolver` to `register_resolver`; in OmegaConf 2.3 the latter is an old function with other arguments.
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
"""Keyword arguments with which Hydra 1.3 behaves as Hydra 1.4 does without them."""


def initialized(folder: Path) -> AbstractContextManager[None]:
    """Initialize Hydra with a folder of YAMLs; `hydra.compose` works inside the context."""
    context: AbstractContextManager[None] = hydra.initialize_config_dir(str(folder), **VERSION_BASE)
    return context


def main(task: Callable[[DictConfig], Any], folder: Path, name: str) -> None:
    """Run Hydra with the words of `sys.argv`.

    Hydra composes the config `name` and calls `task` for each job.
    """
    hydra.main(config_path=str(folder), config_name=name, **VERSION_BASE)(task)()


def register_resolver(name: str, function: Callable[..., Any]) -> None:
    """Register a function that configs call as `${name:argument}`, or replace it."""
    is_renamed = release(omegaconf.__version__) >= (2, 4)
    register = getattr(OmegaConf, "register_resolver" if is_renamed else "register_new_resolver")
    register(name, function, replace=True)
