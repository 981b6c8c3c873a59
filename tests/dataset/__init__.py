"""Test the data sets; functions that several tests share are here and in formats.py."""

import functools
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from semisup.config import schema
from semisup.dataset import Dataset
from tests.conftest import compose


def watch(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
    """Progress callback that shows nothing."""
    return items


@functools.cache
def _composed(name: str) -> DictConfig:
    config: DictConfig = compose(f"dataset={name}", "tracking=none")
    return config


def settings(name: str, *overrides: str) -> Dataset:
    """Compose and validate the settings of a data set; Hydra composes each config once, because that takes long."""
    return schema.validate(OmegaConf.merge(_composed(name), OmegaConf.from_dotlist(list(overrides)))).dataset  # type: ignore[arg-type]
