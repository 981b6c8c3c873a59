"""What of many compositions need not be made: those that differ from another in the plain value of a setting alone.

Hydra composes a config in 0.08 s. Which keys there are, and whether the options go together, depends on the options and
the keys that are named, and not on numbers: so of the jobs of a sweep one of each kind is composed before the first
starts, and a number is put into a composed config in its place.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf

from semisup.config.run_id import ConfigDict

SCALAR = re.compile(r"[\w.+-]+", re.ASCII)
"""A value without structure: a number, a name, true."""


def composition_key(words: Sequence[str], config: DictConfig) -> tuple[str, ...]:
    """What decides how these overrides are composed: all of them, less the values of plain settings of `config`."""
    return tuple(word.partition("=")[0] if is_scalar_override(word, config) else word for word in words)


def is_scalar_override(word: str, config: DictConfig) -> bool:
    """Whether it gives another value to a setting that is there, and does nothing else."""
    key, _, value = word.partition("=")
    if not SCALAR.fullmatch(value) or not re.fullmatch(r"\w+(\.\w+)*", key, re.ASCII):
        return False
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent, default=None) if parent else config
    return isinstance(node, DictConfig) and name in node and not isinstance(node._get_node(name), DictConfig)


@contextmanager
def with_override(config: DictConfig, word: str) -> Iterator[DictConfig]:
    """In here the config is as if composed with this plain override."""
    override = OverridesParser.create().parse_override(word)
    assert override.type == OverrideType.CHANGE
    parent, _, name = override.key_or_group.rpartition(".")
    node: Any = OmegaConf.select(config, parent) if parent else config
    before: ConfigDict = OmegaConf.to_container(node, resolve=False)  # type: ignore[assignment]
    OmegaConf.update(config, override.key_or_group, override.value())
    try:
        yield config
    finally:
        OmegaConf.update(config, override.key_or_group, before[name])


def install() -> None:
    """Let Hydra's sweepers compose one job of each kind before the first starts, and not all."""
    composes_all = Sweeper.validate_batch_is_legal

    def validate_batch_is_legal(sweeper: Any, batch: Sequence[Sequence[str]]) -> None:
        first: dict[tuple[str, ...], Sequence[str]] = {}
        for words in batch:
            first.setdefault(composition_key(words, sweeper.config), words)
        composes_all(sweeper, list(first.values()))

    # not of BasicSweeper, whose class Hydra makes anew as it looks for plugins
    setattr(Sweeper, "validate_batch_is_legal", validate_batch_is_legal)  # noqa: B010  # mypy knows it as a method
