"""Tests of the data sets; what they share is here and in formats.py."""

import functools
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from semisup.config import schema
from semisup.dataset import Dataset
from tests.conftest import compose


def watch(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
    """No progress bar."""
    return items


@functools.cache
def _composed(name: str) -> DictConfig:
    config: DictConfig = compose(f"dataset={name}", "tracking=none")
    return config


def settings(name: str, *overrides: str) -> Dataset:
    """A data set's settings through the gate. Hydra composes each once: it takes longer than the rest of a test."""
    return schema.validate(OmegaConf.merge(_composed(name), OmegaConf.from_dotlist(list(overrides)))).dataset  # type: ignore[arg-type]
