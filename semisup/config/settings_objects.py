"""Build the settings objects of a config: of the options of its groups, and of its sections.

OmegaConf checks the types of the values, and the settings dataclasses check the ranges.
"""

import json
import math
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from semisup.config import registry
from semisup.config.declared_settings import TYPE_NAMES, type_words
from semisup.config.nested_keys import leaves, value_at
from semisup.config.nodes import GROUP_NODES, SECTIONS
from semisup.config.normal_form import resolve
from semisup.config.run_id import ConfigDict
from semisup.errors import SettingError, check_choice, closest_match


def build_node(key: str, node: ConfigDict) -> Any:
    """Build the settings object of one part of a config: an option of a group, or a section."""
    return build_group(key, node) if key in GROUP_NODES else build_section(key, SECTIONS[key], node)


def build_option(key: str, node: ConfigDict) -> Any:
    """Build the settings object of one node of a saved config, such as `dataset`, without the other nodes.

    Args:
        key: name of the node.
        node: content of the node.

    Raises:
        SettingError: a setting of the node is wrong; the message names the key, its value and the allowed values.
    """
    return build_group(key, resolve(node))


def build_group(key: str, node: ConfigDict) -> Any:
    """Build the settings object of an option: {name: fixed, tau: 0.9} -> Fixed(tau=0.9)."""
    group = GROUP_NODES[key]
    if not isinstance(node.get("name"), str):
        check_choice(f"{key}.name", node.get("name"), registry.option_names(group))
    try:
        cls = registry.settings_class(group, node["name"])
    except SettingError as error:
        raise error.within(key) from None
    try:
        return build_section(key, cls, {name: value for name, value in node.items() if name != "name"})
    except SettingError as error:
        raise _suggest_other_options(error, key, node["name"]) from None


def _suggest_other_options(error: SettingError, key: str, name: str) -> SettingError:
    """Extend an error about an unknown key: list the options of the group that have this key.

    Args:
        key: name of the config node, such as `threshold`.
        name: the option of the group that was chosen, such as `fixed`.

    Returns:
        The new error; any other error is returned unchanged.
    """
    if not error.allowed.startswith("no such key"):
        return error
    others = registry.options_with(GROUP_NODES[key], error.key.removeprefix(f"{key}."))
    if not others:
        return error
    return SettingError(
        error.key,
        error.value,
        f"no such key in {key}={name}; it is a key of {', '.join(others)}; type ~{error.key} to remove it",
        error.nearest,
    )


def build_section(name: str, cls: type, node: ConfigDict) -> Any:
    """Build the settings object of a section; error messages name the key with its section."""
    try:
        return merge_strictly(cls, node)
    except SettingError as error:
        raise error.within(name) from None


_merged: dict[tuple[type, str], Any] = {}
"""Cache: (dataclass, its values as text) -> settings object. Building all sections of a config takes 30 ms."""

MOST_MERGED = 1000


def merge_strictly(cls: type, values: ConfigDict) -> Any:
    """Build an instance of the dataclass `cls` from `values`, with strict types; results are cached.

    Raises:
        SettingError: a key is unknown, or a value is missing, of another type, or not finite.
    """
    try:
        key = (cls, json.dumps(values))
    except (TypeError, ValueError, RecursionError):  # not plain data
        return _merge(cls, values)
    if key not in _merged:
        settings = _merge(cls, values)
        if len(_merged) >= MOST_MERGED:
            _merged.clear()
        _merged[key] = settings
    return _merged[key]


def _merge(cls: type, values: ConfigDict) -> Any:
    """Build an instance of the dataclass `cls` from `values`, without the cache of `merge_strictly`."""
    schema = OmegaConf.structured(cls)
    try:
        merged = OmegaConf.merge(schema, _to_numbers_or_text(cls, values))
    except ConfigKeyError as error:
        key = error.full_key or str(error.key)
        fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
        raise SettingError(key, value_at(values, key), "no such key", closest_match(key, fields)) from None
    except OmegaConfBaseException as error:
        key = error.full_key or str(error.key)
        raise SettingError(key, value_at(values, key), _describe_type(cls, key)) from None
    assert isinstance(merged, DictConfig)
    missing = sorted(OmegaConf.missing_keys(merged))
    if missing:
        raise SettingError(missing[0], None, "must be given")
    container: Any = OmegaConf.to_container(merged)
    for key, (before, after) in leaves(values, container):
        _check_same_type(key, before, after)
    return cls(**container)


def _to_numbers_or_text(cls: Any, values: ConfigDict) -> ConfigDict:
    """Convert whole numbers to float in fields of type `float | str`.

    OmegaConf does this conversion only in fields of type `float`.
    """
    mixed = [key for key, field in cls.__dataclass_fields__.items() if field.type == float | str]
    whole = {key: values[key] for key in mixed if type(values.get(key)) is int and abs(values[key]) < 2**53}
    return values | {key: float(value) for key, value in whole.items()}


def _describe_type(cls: Any, key: str) -> str:
    """Describe the type of a field in words: `int | None` -> "must be a whole number or null"."""
    type_ = cls.__dataclass_fields__[key.partition("[")[0]].type
    name = type_.__name__ if isinstance(type_, type) and not hasattr(type_, "__args__") else str(type_)
    if "[" in key:
        name = name.removeprefix("list[").removesuffix("]")
    return f"must be {type_words(name)}"


def _check_same_type(key: str, before: Any, after: Any) -> None:
    """Raise SettingError for a number that is not finite, or a value whose type OmegaConf has changed.

    Args:
        before: the value before OmegaConf converted it, such as the text 'nan' or the integer 1.
        after: the value after the conversion. The conversion of 1 to 1.0 is allowed.
    """
    same = type(before) is type(after) or (type(before) is int and type(after) is float)
    if not same:
        wanted, given = TYPE_NAMES.get(type(after).__name__), TYPE_NAMES.get(type(before).__name__)
        raise SettingError(key, before, f"must be {wanted}, not {given}")
    if isinstance(after, float) and not math.isfinite(after):
        raise SettingError(key, after, "must be a finite number")
