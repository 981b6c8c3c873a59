"""Convert a composed or saved config to plain data in a normal form, so that equal runs have equal configs."""

import os
from dataclasses import asdict
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from semisup.config.config_folder import default_value
from semisup.config.nested_keys import leaves
from semisup.config.run_id import ConfigDict
from semisup.config.sections import RunSettings
from semisup.errors import SettingError, first_line
from semisup.runtime.secrets import secret_in
from semisup.runtime.weights_file import is_file_name


def resolve(config: DictConfig | ConfigDict) -> ConfigDict:
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
        for key, (value, _) in leaves(plain, plain):
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
        missing = sorted(key for key, (value, _) in leaves(plain, plain) if value == "???")
    if missing:
        value = "PATH" if missing[0].endswith("root") else "VALUE"
        raise SettingError(missing[0], "???", f"must be given; type {missing[0]}={value}")
    return {str(key): value for key, value in plain.items()}


def refuse_interpolations(config: ConfigDict) -> None:
    """Raise SettingError if a saved config contains an interpolation such as `${seed}`."""
    for key, (value, _) in leaves(config, config):
        if isinstance(value, str) and "${" in value:
            raise SettingError(key, value, "a saved config may contain only values, no interpolations such as ${seed}")


def normalize(config: ConfigDict) -> ConfigDict:
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


def coerce_types(config: ConfigDict, run: RunSettings, nodes: dict[str, Any]) -> ConfigDict:
    """Convert every value to the type of its field, so that `strength: 1` and `strength: 1.0` are the same run."""
    typed: ConfigDict = {}
    for key, value in config.items():
        fields = {name: _plain(each) for name, each in asdict(nodes[key]).items()} if key in nodes else {}
        typed[key] = {name: fields.get(name, value[name]) for name in value} if key in nodes else getattr(run, key)
    return typed


def _plain(value: Any) -> Any:
    """Convert a tuple to a list, because YAML has no tuples."""
    return list(value) if isinstance(value, tuple) else value
