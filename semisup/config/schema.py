"""One gate: a composed or saved config becomes checked settings.

The command line, `reproduce`, `predict` and the tests all come through `validate`. Types come from the
dataclasses (merged by OmegaConf), ranges from their own checks, and whatever is wrong is a SettingError
that names the key as a user types it.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from semisup.config import registry
from semisup.config.run_id import ConfigDict, run_id
from semisup.config.sections import CheckpointSettings, CollapseSettings, RunSettings, SweepSettings
from semisup.core.inference import LabelerSettings
from semisup.dataset import Dataset
from semisup.errors import SettingError, closest_match, escape, first_line
from semisup.model import identify_weights, is_file_name
from semisup.record.migrations import DEFINITIONS, RENAMED, changes_since
from semisup.runtime.precision import default_precision, require_compiler, require_device
from semisup.runtime.secrets import secret_in
from semisup.training.state import TrainingConfig, TrainSettings

AUTO_VALUES = {"device": ("cpu", "cuda"), "precision": ("float32", "bfloat16")}
"""Keys that may say `auto`, and all that it may mean: `_normalize` puts there what it means on this machine."""

GROUP_NODES = {group: group for group in registry.GROUPS} | {"weak": "augment"}
"""Every node of a config that names an option, and the group that the option is of."""

SECTIONS = {
    "train": TrainSettings,
    "labeler": LabelerSettings,
    "collapse": CollapseSettings,
    "checkpoint": CheckpointSettings,
    "sweep": SweepSettings,
}


@dataclass(frozen=True)
class RunConfig:
    """A config that passed the gate.

    plain: all of it as plain data, resolved: what config.yaml holds
    elsewhere: the run is not for this machine, of whose devices and memory nothing is asked
    """

    config: ConfigDict
    run: RunSettings
    collapse: CollapseSettings
    checkpoint: CheckpointSettings
    sweep: SweepSettings
    settings: TrainingConfig
    dataset: Dataset
    tracking: Any
    elsewhere: bool = False

    @property
    def id(self) -> str:
        return run_id(self.config)


def validate(config: DictConfig | ConfigDict, *, elsewhere: bool = False, weights: bool = True) -> RunConfig:
    """The gate.

    Args:
        elsewhere: the run is for another machine, as a job of a cluster is; whether this one could is not asked.
        weights: download the pretrained weights of the model if missing, check them and fill in `model.sha256`; not
            with `elsewhere`. False = the caller needs no file of weights, as prediction does not.

    Raises:
        SettingError: names key, value, what is allowed and the nearest name.
    """
    try:
        return _build(config, elsewhere=elsewhere, weights=weights and not elsewhere)
    except SettingError as error:
        raise suggest_new_name(error) from None


def suggest_new_name(error: SettingError) -> SettingError:
    """Name the new key where the error is about a key of version 0.1.0 that has another name now."""
    if error.key not in RENAMED or not error.allowed.startswith("no such key"):
        return error
    new = RENAMED[error.key]
    return SettingError(error.key, error.value, f"is now called {new}; type {new}={escape(error.value)}")


def _build(config: DictConfig | ConfigDict, *, elsewhere: bool, weights: bool) -> RunConfig:
    plain = _normalize(_resolve(config))
    nodes = [*GROUP_NODES, *SECTIONS]
    known = [*nodes, *RunSettings.__dataclass_fields__]
    for key in plain:
        if key not in known:
            raise SettingError(key, plain[key], "no such key", closest_match(key, [*known, *dotted_keys(plain)]))
    for key in nodes:
        if not isinstance(plain.get(key), dict):
            allowed = (
                f"must be one of {', '.join(registry.option_names(GROUP_NODES[key]))}"
                if key in GROUP_NODES
                else "must be a section"
            )
            raise SettingError(key, plain.get(key), allowed)
    run = _merge_strictly(RunSettings, {key: value for key, value in plain.items() if key not in nodes})
    groups = {name: _build_group(name, plain[name]) for name in GROUP_NODES}
    sections = {name: _build_section(name, cls, plain[name]) for name, cls in SECTIONS.items()}
    if not elsewhere:
        _check_hardware(run)
        _check_definitions(run, plain)
    if weights:
        groups["model"] = identify_weights(groups["model"])
    plain = _coerce_types(plain, run, groups | sections)
    if groups["method"].needs_ema and sections["train"].ema_decay is None:
        name = plain["method"]["name"]
        raise SettingError("train.ema_decay", None, f"must be given with method={name}, such as 0.99")
    dataset, tracking = groups.pop("dataset"), groups.pop("tracking")
    train, labeler = sections.pop("train"), sections.pop("labeler")
    if run.compile and getattr(groups["method"], "skip_rejected", False):
        allowed = "goes not with method.skip_rejected=true, whose passes are of another size at every step"
        raise SettingError("compile", run.compile, allowed)
    how = {name: getattr(run, name) for name in ("seed", "precision", "channels_last", "compile")}
    settings = TrainingConfig(**how, train=train, labeler=labeler, **groups)
    return RunConfig(plain, run, **sections, settings=settings, dataset=dataset, tracking=tracking, elsewhere=elsewhere)


def _check_hardware(run: RunSettings) -> None:
    """Raise SettingError where the device that is asked for is not there, or a compiler."""
    require_device(run.device)
    if run.compile:
        require_compiler(run.device)


def _check_definitions(run: RunSettings, config: ConfigDict) -> None:
    """Raise SettingError if a saved config would give other numbers now, because the meaning of a setting changed."""
    if not 1 <= run.definitions <= DEFINITIONS:
        allowed = f"must be at most {DEFINITIONS}, the version of this program; a newer semisup made this config"
        raise SettingError("definitions", run.definitions, allowed)
    if changes := changes_since(config):
        allowed = f"settings have another meaning now ({'; '.join(changes)}); use the semisup that made the run"
        raise SettingError("definitions", run.definitions, allowed)


def _resolve(config: DictConfig | ConfigDict) -> ConfigDict:
    """Plain data without interpolation; `???` is a SettingError. Saved data with an interpolation is refused."""
    if isinstance(config, DictConfig):
        missing = sorted(OmegaConf.missing_keys(config))
        try:
            plain: Any = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as error:
            raise SettingError(error.full_key or "config", "${...}", first_line(error)) from None
        for key, (value, _) in _leaves(plain, plain):
            if name := secret_in(value):
                raise SettingError(key, f"${name}", "is a secret, and settings are saved and shown")
    else:
        plain = config
        refuse_interpolations(plain)
        missing = sorted(key for key, (value, _) in _leaves(plain, plain) if value == "???")
    if missing:
        raise SettingError(missing[0], "???", "must be given")
    return {str(key): value for key, value in plain.items()}


def refuse_interpolations(config: ConfigDict) -> None:
    """Raise SettingError if a value of a saved config stands for another."""
    for key, (value, _) in _leaves(config, config):
        if isinstance(value, str) and "${" in value:
            raise SettingError(key, value, "a saved config holds values, and no interpolations")


def _normalize(config: ConfigDict) -> ConfigDict:
    """One way to write each run: `steps` replaces `epochs`, a root is absolute, and `auto` gives way to the device that
    is there and to the precision that it is fastest with."""
    train = config.get("train")
    if isinstance(train, dict) and train.get("steps") is not None:
        config = config | {"train": train | {"epochs": None}}
    dataset = config.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("root"), str):
        config = config | {"dataset": dataset | {"root": os.path.abspath(os.path.expanduser(dataset["root"]))}}
    model = config.get("model")
    if isinstance(model, dict) and isinstance(model.get("weights"), str) and is_file_name(model["weights"]):
        config = config | {"model": model | {"weights": os.path.abspath(os.path.expanduser(model["weights"]))}}
    if config.get("device") == "auto":
        config = config | {"device": "cuda" if torch.cuda.is_available() else "cpu"}
    if config.get("precision") == "auto":
        config = config | {"precision": default_precision(str(config.get("device")).partition(":")[0])}
    return config


def _coerce_types(config: ConfigDict, run: RunSettings, nodes: dict[str, Any]) -> ConfigDict:
    """The same config with every value as its field has it: `strength: 1` and `strength: 1.0` are one run."""
    typed: ConfigDict = {}
    for key, value in config.items():
        fields = asdict(nodes[key]) if key in nodes else {}
        typed[key] = {name: fields.get(name, value[name]) for name in value} if key in nodes else getattr(run, key)
    return typed


def build_option(key: str, node: ConfigDict) -> Any:
    """The settings object of one node of a saved config, where the others do not matter.

    Raises:
        SettingError: as `validate`.
    """
    return _build_group(key, _resolve(node))


def _build_group(key: str, node: ConfigDict) -> Any:
    """The settings object of a group's node: {name: fixed, tau: 0.9} -> Fixed(tau=0.9)."""
    group = GROUP_NODES[key]
    if not isinstance(node.get("name"), str):
        raise SettingError(f"{key}.name", node.get("name"), f"must be one of {', '.join(registry.option_names(group))}")
    try:
        cls = registry.settings_class(group, node["name"])
    except SettingError as error:
        raise error.within(key) from None
    try:
        return _build_section(key, cls, {name: value for name, value in node.items() if name != "name"})
    except SettingError as error:
        raise _suggest_other_options(error, key, node["name"]) from None


def _suggest_other_options(error: SettingError, key: str, name: str) -> SettingError:
    """The same error; of a key that other options of the group have, it says which, and how to take it out. An
    experiment that sets the key of one threshold does so too where another is chosen."""
    if not error.allowed.startswith("no such key"):
        return error
    others = registry.options_with(GROUP_NODES[key], error.key.removeprefix(f"{key}."))
    if not others:
        return error
    allowed = f"no such key of {key}={name}, but of {', '.join(others)}; ~{error.key} takes it out"
    return SettingError(error.key, error.value, allowed, error.nearest)


def _build_section(name: str, cls: type, node: ConfigDict) -> Any:
    """The same without a choice; an error's key gains the section's name."""
    try:
        return _merge_strictly(cls, node)
    except SettingError as error:
        raise error.within(name) from None


def _merge_strictly(cls: type, values: ConfigDict) -> Any:
    """`values` merged onto the dataclass by OmegaConf, then strictly: none missing, none of another kind, finite."""
    schema = OmegaConf.structured(cls)
    try:
        merged = OmegaConf.merge(schema, values)
    except ConfigKeyError as error:
        key = error.full_key or str(error.key)
        fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
        raise SettingError(key, _value_at(values, key), "no such key", closest_match(key, fields)) from None
    except OmegaConfBaseException as error:
        key = error.full_key or str(error.key)
        raise SettingError(key, _value_at(values, key), _describe_type(cls, key)) from None
    assert isinstance(merged, DictConfig)
    missing = sorted(OmegaConf.missing_keys(merged))
    if missing:
        raise SettingError(missing[0], None, "must be given")
    container: Any = OmegaConf.to_container(merged)
    for key, (before, after) in _leaves(values, container):
        _check_same_type(key, before, after)
    return cls(**container)


TYPE_NAMES = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "text",
    "list[int]": "a list of whole numbers",
}


def _describe_type(cls: Any, key: str) -> str:
    """What a field can be, in words: `int | None` -> "must be a whole number or null"."""
    type_ = cls.__dataclass_fields__[key.partition("[")[0]].type
    name = type_.__name__ if isinstance(type_, type) and not hasattr(type_, "__args__") else str(type_)
    if "[" in key:
        name = name.removeprefix("list[").removesuffix("]")
    return "must be " + " or ".join(
        TYPE_NAMES.get(part.strip(), part.strip()) for part in name.replace("None", "null").split("|")
    )


def _check_same_type(key: str, before: Any, after: Any) -> None:
    """OmegaConf turns 1e3 into the name '1000.0' and 'nan' into a number; nothing is turned here but 1 into 1.0."""
    same = type(before) is type(after) or (type(before) is int and type(after) is float)
    if not same:
        wanted, given = TYPE_NAMES.get(type(after).__name__), TYPE_NAMES.get(type(before).__name__)
        raise SettingError(key, before, f"must be {wanted}, and this is {given}")
    if isinstance(after, float) and not math.isfinite(after):
        raise SettingError(key, after, "must be a finite number")


def _leaves(before: Any, after: Any, prefix: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            yield from _leaves(before[key], after[key], f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(before, list) and isinstance(after, list):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from _leaves(*pair, f"{prefix}[{number}]")
    else:
        yield prefix, (before, after)


def _value_at(values: Any, key: str) -> Any:
    """The value at `key`, such as `widths[1]`; a list where that is as far as the key leads."""
    for part in key.replace("[", ".").replace("]", "").split("."):
        if isinstance(values, dict) and part in values:
            values = values[part]
        elif isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
    return values


def dotted_keys(config: Any, prefix: str = "") -> list[str]:
    """Every dotted key of nested plain data."""
    if not isinstance(config, dict):
        return []
    own = [f"{prefix}{key}" for key in config]
    return own + [each for key, value in config.items() for each in dotted_keys(value, f"{prefix}{key}.")]
