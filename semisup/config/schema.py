"""Validate a composed or saved config and build the settings objects of a run.

OmegaConf checks the types of the values, and the settings dataclasses check the ranges. Every mistake raises a
SettingError that names the key as a user types it.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from semisup.config import registry
from semisup.config.config_folder import default_value
from semisup.config.controls import fix_unused_by_probe
from semisup.config.declared_settings import TYPE_NAMES, type_words
from semisup.config.method_combinations import check_combinations
from semisup.config.nodes import GROUP_NODES, SECTIONS
from semisup.config.parent_run import identify_parent
from semisup.config.precision import resolve_precision
from semisup.config.run_id import ConfigDict, run_id
from semisup.config.sections import CheckpointSettings, CollapseSettings, RunSettings, SweepSettings
from semisup.core.inference import LabelerSettings
from semisup.dataset import Dataset, identify_truth
from semisup.encoder import Encoder, identify_encoder
from semisup.errors import SettingError, check_choice, closest_match, first_line
from semisup.method import labels_by_model
from semisup.model import identify_weights
from semisup.record.migrations import DEFINITIONS, RENAMED, changes_since
from semisup.runtime.accumulation import check_accumulation
from semisup.runtime.precision import require_compiler, require_device
from semisup.runtime.secrets import secret_in
from semisup.runtime.weights_file import is_file_name
from semisup.text import escape
from semisup.training.probe import ProbeSettings
from semisup.training.state import TrainingConfig

AUTO_VALUES = {"device": ("cpu", "cuda"), "precision": ("float32", "bfloat16")}
"""Key that accepts `auto` -> the values that can replace `auto`, depending on the machine."""


@dataclass(frozen=True)
class RunConfig:
    """A validated config and the settings objects built from it.

    config: the content of config.yaml as plain data, with all interpolations resolved
    encoder: None = the model is trained on the images themselves
    elsewhere: the run is for another machine; the devices and memory of this machine are not checked
    precision_reason: why `precision=auto` became the value in `config`; None if the user gave the value
    """

    config: ConfigDict
    run: RunSettings
    probe: ProbeSettings
    collapse: CollapseSettings
    checkpoint: CheckpointSettings
    sweep: SweepSettings
    settings: TrainingConfig
    dataset: Dataset
    encoder: Encoder | None
    tracking: Any
    elsewhere: bool = False
    precision_reason: str | None = None

    @cached_property
    def id(self) -> str:
        return run_id(self.config)


def validate(config: DictConfig | ConfigDict, *, elsewhere: bool = False, weights: bool = True) -> RunConfig:
    """Validate a config and build the settings objects of its run.

    Args:
        elsewhere: the run is for another machine, such as a node of a cluster; the hardware of this machine is not
            checked, and `weights` has no effect.
        weights: check the pretrained weights, the parent run and the table of true classes, and fill in
            `model.sha256`, `encoder.sha256`, `from.checkpoint` and `dataset.truth_sha256`. Missing
            weights are downloaded. False = the caller needs no weights, for example for prediction.

    Raises:
        SettingError: a setting is wrong. The message names the key, its value and the allowed values.
    """
    try:
        return _build(config, elsewhere=elsewhere, weights=weights and not elsewhere)
    except SettingError as error:
        raise suggest_new_name(error) from None


def suggest_new_name(error: SettingError) -> SettingError:
    """If the key of an error was renamed after version 0.1.0, name the new key in the message.

    Returns:
        The new error; any other error is returned unchanged.
    """
    if error.key not in RENAMED or not error.allowed.startswith("no such key"):
        return error
    new = RENAMED[error.key]
    return SettingError(error.key, error.value, f"was renamed to {new}; type {new}={escape(error.value)}")


def _build(config: DictConfig | ConfigDict, *, elsewhere: bool, weights: bool) -> RunConfig:
    plain = _normalize(_resolve(config))
    _check_start_of_probe(plain)
    plain = fix_unused_by_probe(plain)
    nodes = [*GROUP_NODES, *SECTIONS]
    known = [*nodes, *RunSettings.__dataclass_fields__]
    for key in plain:
        if key not in known:
            raise SettingError(key, plain[key], "no such key", closest_match(key, [*known, *dotted_keys(plain)]))
    for key in nodes:
        if not isinstance(plain.get(key), dict):
            if key not in GROUP_NODES:
                raise SettingError(key, plain.get(key), "must be a section with keys, not a single value")
            names = ", ".join(registry.option_names(GROUP_NODES[key]))
            raise SettingError(key, plain.get(key), f"must be one of {names}")
    run = _merge_strictly(RunSettings, {key: value for key, value in plain.items() if key not in nodes})
    groups = {name: _build_group(name, plain[name]) for name in GROUP_NODES}
    sections = {name: _build_section(name, cls, plain[name]) for name, cls in SECTIONS.items()}
    choice = resolve_precision(run.device, groups["model"], groups["dataset"].size) if run.precision == "auto" else None
    if choice is not None:
        run = replace(run, precision=choice.value)
    if not elsewhere:
        _check_hardware(run)
        check_accumulation(sections["train"].accumulate, compile=run.compile)
        _check_definitions(run, plain)
    if weights:
        groups["model"] = identify_weights(groups["model"])
        groups["encoder"] = identify_encoder(groups["encoder"], run.device)
        groups["dataset"] = identify_truth(groups["dataset"])
    plain = _coerce_types(plain, run, groups | sections)
    if weights:
        sections["from"] = identify_parent(sections["from"], plain)
        plain["from"] = asdict(sections["from"])
    encoder = groups.pop("encoder")
    _check_model_input(encoder, groups["model"], plain)
    if groups["method"].needs_ema and sections["train"].ema_decay is None:
        name = plain["method"]["name"]
        raise SettingError("train.ema_decay", None, f"must be given with method={name}, such as 0.99")
    for key, node in _ignored_nodes(groups["method"], plain).items():
        plain[key] = node
        (groups if key in groups else sections)[key] = _build_node(key, node)
    dataset, tracking = groups.pop("dataset"), groups.pop("tracking")
    train, labeler, parent = (sections.pop(name) for name in ("train", "labeler", "from"))
    check_combinations(plain, groups["method"], groups["loss"], groups["debias"], labeler)
    if run.compile and getattr(groups["method"], "skip_rejected", False):
        raise SettingError(
            "compile", run.compile, "not supported with method.skip_rejected=true (the batch size varies at every step)"
        )
    if labeler.calibrate and groups["method"].uses_unlabeled and not labels_by_model(groups["method"]):
        raise SettingError(
            "labeler.calibrate",
            True,
            f"has no effect with method={plain['method']['name']}, whose pseudo-labels do not come from the model; "
            "use labeler.calibrate=false",
        )
    if plain["reject"]["name"] != "none" and getattr(groups["method"], "mixes_unlabeled", False):
        name = plain["method"]["name"]
        raise SettingError(
            "reject",
            plain["reject"]["name"],
            f"not supported with method={name}, which mixes each image with others, rejected or not; use reject=none",
        )
    if train.refit:
        _check_refit(plain, groups["method"], dataset, labeler)
    how = {name: getattr(run, name) for name in ("seed", "precision", "channels_last", "compile")}
    settings = TrainingConfig(**how, train=train, labeler=labeler, parent=parent, **groups)
    return RunConfig(
        plain,
        run,
        **sections,
        settings=settings,
        dataset=dataset,
        encoder=encoder if isinstance(encoder, Encoder) else None,
        tracking=tracking,
        elsewhere=elsewhere,
        precision_reason=None if choice is None else choice.reason,
    )


def _check_start_of_probe(config: ConfigDict) -> None:
    """Raise SettingError if a probe (a run that only fits a classifier to features) has the setting `from.run`."""
    parent, probe = config.get("from"), config.get("probe")
    if not isinstance(parent, dict) or parent.get("run") is None or not isinstance(probe, dict):
        return
    if probe.get("classifier") is not None:
        allowed = f"has no effect with probe.classifier={escape(probe['classifier'])}; leave it out"
        raise SettingError("from.run", parent["run"], allowed)


def _check_refit(config: ConfigDict, method: Any, dataset: Dataset, labeler: LabelerSettings) -> None:
    """Raise SettingError if a setting needs validation images, because `train.refit=true` trains on them."""
    if (folds := getattr(dataset, "folds", None)) is not None:
        raise SettingError(
            "dataset.folds",
            folds,
            "holds out labeled images, but train.refit=true trains on all; use dataset.folds=null dataset.fold=null",
        )
    if config["probe"]["classifier"] is not None:
        raise SettingError(
            "probe.classifier",
            config["probe"]["classifier"],
            "needs validation images, but train.refit=true trains on them; use train.refit=false",
        )
    if method.uses_unlabeled and labeler.calibrate:
        raise SettingError(
            "labeler.calibrate",
            True,
            "needs validation images, but train.refit=true trains on them; use labeler.calibrate=false",
        )
    if method.uses_unlabeled and config["reject"].get("keep") is not None:
        raise SettingError(
            "reject.keep",
            config["reject"]["keep"],
            "needs validation images, but train.refit=true trains on them; give the limit as a number, reject.limit=X",
        )
    if method.uses_unlabeled and config["method"].get("gate") not in (None, 0, "auto"):
        raise SettingError(
            "method.gate",
            config["method"]["gate"],
            "needs validation images, but train.refit=true trains on them; use method.gate=0, which "
            "labels without this condition",
        )


def _check_model_input(encoder: object, model: object, config: ConfigDict) -> None:
    """Raise SettingError if an encoder is combined with a model that takes only images, not features."""
    if isinstance(encoder, Encoder) and not getattr(model, "takes_features", False):
        takers = [name for name in registry.option_names("model") if _takes_features(name)]
        raise SettingError(
            "model",
            config["model"]["name"],
            f"must be one of {', '.join(takers)} with encoder={config['encoder']['name']}, which replaces images by "
            "features",
        )


def _takes_features(name: str) -> bool:
    return bool(getattr(registry.settings_class("model", name), "takes_features", False))


def _ignored_nodes(method: Any, config: ConfigDict) -> ConfigDict:
    """Return fixed values for settings that have no effect in this run.

    In a run without unlabeled images, these are the settings that concern only unlabeled images. Therefore all runs
    that differ only in these settings have the same control (the same run without unlabeled images). In other runs, it
    is the setting `loss.momentum`, which has an effect only with `loss.unlabeled=estimate`; it gets its default value.

    Returns:
        Name of the config node, such as `threshold` -> the content that replaces it.
    """
    if method.uses_unlabeled:
        loss = config["loss"]
        if loss["name"] != "logit_adjustment" or loss["unlabeled"] == "estimate":
            return {}
        return {"loss": loss | {"momentum": default_value("loss", "logit_adjustment", "momentum")}}
    select_nothing = {"name": "fixed", "tau": 1.0, "strict": True}
    weak = {} if method.uses_weak else {"weak": {"name": "none", "strength": 0.0}}
    loss = config["loss"] | registry.settings_class("loss", config["loss"]["name"]).without_unlabeled  # type: ignore[attr-defined]
    labels = {
        "threshold": select_nothing,
        "reject": {"name": "none"},
        "debias": {"name": "none"},
        "labeler": {"calibrate": False, "teachers": 1},
    }
    return {**labels, "loss": loss, **weak}


def _check_hardware(run: RunSettings) -> None:
    """Raise SettingError if the device is not available, or if `compile=true` and no compiler is available."""
    require_device(run.device)
    if run.compile:
        require_compiler(run.device)


def _check_definitions(run: RunSettings, config: ConfigDict) -> None:
    """Raise SettingError if a newer version saved the config, or if the meaning of its settings has changed."""
    if not 1 <= run.definitions <= DEFINITIONS:
        raise SettingError(
            "definitions",
            run.definitions,
            f"must be at most {DEFINITIONS}, the version of this program; a newer semisup made this config",
        )
    check_meaning(config)


def check_meaning(config: ConfigDict, version: object = None) -> None:
    """Raise SettingError if the meaning of a setting has changed since a config was saved.

    Args:
        version: version of semisup that trained a run with this config; None = unknown.
    """
    if changes := changes_since(config, version):
        raise SettingError(
            "definitions",
            config["definitions"],
            f"the meaning of these settings has changed since the run ({'; '.join(changes)}); use the "
            "version of semisup that trained the run",
        )


def _resolve(config: DictConfig | ConfigDict) -> ConfigDict:
    """Convert a config to plain data, with all interpolations such as `${seed}` replaced by their values.

    Raises:
        SettingError: a value is still `???`, is a secret, cannot be resolved, or is an interpolation in a saved config.
    """
    if isinstance(config, DictConfig):
        missing = sorted(OmegaConf.missing_keys(config))
        try:
            plain: Any = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as error:
            raise SettingError(error.full_key or "config", "${...}", first_line(error)) from None
        for key, (value, _) in _leaves(plain, plain):
            if name := secret_in(value):
                raise SettingError(
                    key,
                    name,
                    "contains a secret, and settings are saved and shown; set the secret as an "
                    "environment variable instead",
                )
    else:
        plain = config
        refuse_interpolations(plain)
        missing = sorted(key for key, (value, _) in _leaves(plain, plain) if value == "???")
    if missing:
        value = "PATH" if missing[0].endswith("root") else "VALUE"
        raise SettingError(missing[0], "???", f"must be given; type {missing[0]}={value}")
    return {str(key): value for key, value in plain.items()}


def refuse_interpolations(config: ConfigDict) -> None:
    """Raise SettingError if a saved config contains an interpolation such as `${seed}`."""
    for key, (value, _) in _leaves(config, config):
        if isinstance(value, str) and "${" in value:
            raise SettingError(key, value, "a saved config may contain only values, no interpolations such as ${seed}")


def _normalize(config: ConfigDict) -> ConfigDict:
    """Convert a config to its normal form, so that equal runs have equal configs.

    - `train.epochs` becomes null if `train.steps` is given, and a default `reject.keep` becomes null if `reject.limit`
      is given.
    - The root of a data set, files of weights and the directory of a parent run get absolute paths.
    - `device=auto` becomes the available device.
    """
    train = config.get("train")
    if isinstance(train, dict) and train.get("steps") is not None:
        config = config | {"train": train | {"epochs": None}}
    reject = config.get("reject")
    if (
        isinstance(reject, dict)
        and reject.get("limit") is not None
        and reject.get("keep") == default_value("reject", str(reject.get("name")), "keep")
    ):
        config = config | {"reject": reject | {"keep": None}}
    dataset = config.get("dataset")
    if isinstance(dataset, dict) and isinstance(dataset.get("root"), str):
        config = config | {"dataset": dataset | {"root": os.path.abspath(os.path.expanduser(dataset["root"]))}}
    parent = config.get("from")
    if isinstance(parent, dict) and isinstance(parent.get("run"), str):
        config = config | {"from": parent | {"run": os.path.abspath(os.path.expanduser(parent["run"]))}}
    for group in ("model", "encoder"):
        node = config.get(group)
        if isinstance(node, dict) and "weights" in node:
            config = config | {group: node | {"weights": _absolute_weights(node["weights"])}}
    if config.get("device") == "auto":
        config = config | {"device": "cuda" if torch.cuda.is_available() else "cpu"}
    return config


def _absolute_weights(weights: Any) -> Any:
    """Make the path of a weights file absolute, or each path in a list; other values are returned unchanged."""
    if isinstance(weights, list):
        return [_absolute_weights(each) for each in weights]
    if isinstance(weights, str) and is_file_name(weights):
        return os.path.abspath(os.path.expanduser(weights))
    return weights


def _coerce_types(config: ConfigDict, run: RunSettings, nodes: dict[str, Any]) -> ConfigDict:
    """Convert every value to the type of its field, so that `strength: 1` and `strength: 1.0` are the same run."""
    typed: ConfigDict = {}
    for key, value in config.items():
        fields = {name: _plain(each) for name, each in asdict(nodes[key]).items()} if key in nodes else {}
        typed[key] = {name: fields.get(name, value[name]) for name in value} if key in nodes else getattr(run, key)
    return typed


def _plain(value: Any) -> Any:
    """Convert a tuple to a list, because YAML has no tuples."""
    return list(value) if isinstance(value, tuple) else value


def _build_node(key: str, node: ConfigDict) -> Any:
    """Build the settings object of one part of a config: an option of a group, or a section."""
    return _build_group(key, node) if key in GROUP_NODES else _build_section(key, SECTIONS[key], node)


def build_option(key: str, node: ConfigDict) -> Any:
    """Build the settings object of one node of a saved config, such as `dataset`, without the other nodes.

    Args:
        key: name of the node.
        node: content of the node.

    Raises:
        SettingError: a setting of the node is wrong, as in `validate`.
    """
    return _build_group(key, _resolve(node))


def _build_group(key: str, node: ConfigDict) -> Any:
    """Build the settings object of an option: {name: fixed, tau: 0.9} -> Fixed(tau=0.9)."""
    group = GROUP_NODES[key]
    if not isinstance(node.get("name"), str):
        check_choice(f"{key}.name", node.get("name"), registry.option_names(group))
    try:
        cls = registry.settings_class(group, node["name"])
    except SettingError as error:
        raise error.within(key) from None
    try:
        return _build_section(key, cls, {name: value for name, value in node.items() if name != "name"})
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


def _build_section(name: str, cls: type, node: ConfigDict) -> Any:
    """Build the settings object of a section; error messages name the key with its section."""
    try:
        return _merge_strictly(cls, node)
    except SettingError as error:
        raise error.within(name) from None


_merged: dict[tuple[type, str], Any] = {}
"""Cache: (dataclass, its values as text) -> settings object. Building all sections of a config takes 30 ms."""

MOST_MERGED = 1000


def _merge_strictly(cls: type, values: ConfigDict) -> Any:
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
    """Build an instance of the dataclass `cls` from `values`, without the cache of `_merge_strictly`."""
    schema = OmegaConf.structured(cls)
    try:
        merged = OmegaConf.merge(schema, _to_numbers_or_text(cls, values))
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
    """Return the value at a key such as `widths[1]`; if it does not exist, the value of its nearest parent."""
    for part in key.replace("[", ".").replace("]", "").split("."):
        if isinstance(values, dict) and part in values:
            values = values[part]
        elif isinstance(values, list) and part.isdigit() and int(part) < len(values):
            values = values[int(part)]
    return values


def dotted_keys(config: Any, prefix: str = "") -> list[str]:
    """List the keys of nested dictionaries in dotted form, such as `threshold` and `threshold.tau`."""
    if not isinstance(config, dict):
        return []
    own = [f"{prefix}{key}" for key in config]
    return own + [each for key, value in config.items() for each in dotted_keys(value, f"{prefix}{key}.")]
