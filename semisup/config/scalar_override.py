"""Change the values of settings in a composed config, without composing the config again.

Jobs of a sweep that differ only in scalar values (numbers, names, true or false) have configs with the same keys. So
one config is composed for all of them, and the values of each job are set in it. Composing a config with Hydra takes
0.08 s, so this saves 5 s for 64 jobs.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf

from semisup.config.run_id import ConfigDict

SCALAR = re.compile(r"[\w.+-]+", re.ASCII)
"""Pattern of a value without structure, such as a number, a name or true."""


def composition_key(words: Sequence[str], config: DictConfig) -> tuple[str, ...]:
    """Compute a cache key for the overrides of a job. Jobs with equal keys differ only in scalar values.

    Args:
        words: the overrides (KEY=VALUE) of the job.
        config: a composed config, which shows whether a key is a setting or a group.

    Returns:
        The overrides; an override of a scalar setting is reduced to its key.
    """
    return tuple(word.partition("=")[0] if is_scalar_override(word, config) else word for word in words)


def is_scalar_override(word: str, config: DictConfig) -> bool:
    """Whether an override (KEY=VALUE) only changes the value of an existing scalar setting, such as a number."""
    key, _, value = word.partition("=")
    if not SCALAR.fullmatch(value) or not re.fullmatch(r"\w+(\.\w+)*", key, re.ASCII):
        return False
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent, default=None) if parent else config
    if not isinstance(node, DictConfig) or name not in node.keys():  # noqa: SIM118  # `in` resolves interpolations
        return False
    has_value = not OmegaConf.is_missing(node, name) and not OmegaConf.is_interpolation(node, name)
    return not (has_value and isinstance(node[name], DictConfig))


@contextmanager
def with_override(config: DictConfig, word: str) -> Iterator[DictConfig]:
    """Return a context in which one value of `config` is changed.

    The old value is restored at the end of the context.
    """
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
