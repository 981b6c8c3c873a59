"""Replace the settings of a saved config that cannot change results (such as folders) by those of the user.

Importing this module does not import torch; its functions do.
"""

from typing import Any

CALLER_KEYS = ("output_root", "plots", "tracking", "checkpoint")
SETTABLE_KEYS = ("output_root", "plots", "tracking", "model.weights", "encoder.weights", "encoder.cache", "from.run")
"""Settings that the user may give after RUN, as in `semisup reproduce RUN output_root=PATH`.

Also allowed are `tracking.KEY`, one file of a list as in `encoder.weights.1=PATH`, and the settings of a data set with
the role PATH, DIAGNOSTICS or MACHINE (`KeyRole`).
"""

CHECKED_BY = {"model.weights": ("model.sha256", "file"), "from.run": ("from.checkpoint", "model")}
"""Setting with a path -> (setting that identifies the content at this path, noun for the content in messages)."""


def merge_caller_settings(config: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """Replace the settings of a saved config that cannot change results (such as folders) by those of the user.

    The keys in CALLER_KEYS, `encoder.cache` and the settings of the data set that depend on the machine get their
    default values if the user does not give them; only a saved `tracking=none` is kept. All other settings that the
    user does not give keep their saved values.

    Args:
        config: the saved config.
        settings: the user's settings, KEY=VALUE words of the command line.

    Returns:
        The new config.

    Raises:
        SettingError: a word is not KEY=VALUE, or its key is not allowed.
    """
    from semisup.config import registry
    from semisup.config.compose import defaults
    from semisup.config.normal_form import refuse_interpolations
    from semisup.config.run_id import dataset_keys
    from semisup.config.typed_words import parse_settings
    from semisup.dataset import KeyRole
    from semisup.errors import SettingError

    refuse_interpolations(config)
    dataset = config.get("dataset")
    if not isinstance(dataset, dict) or not isinstance(dataset.get("name"), str):
        raise SettingError("dataset", dataset, f"must be one of {', '.join(registry.option_names('dataset'))}")
    try:
        of_this_machine = dataset_keys(dataset, KeyRole.MACHINE)
        roles = KeyRole.PATH, KeyRole.DIAGNOSTICS, KeyRole.MACHINE
        settable = [*SETTABLE_KEYS, *(f"dataset.{key}" for key in dataset_keys(dataset, *roles))]
    except SettingError as error:
        raise error.within("dataset") from None
    encoder = config.get("encoder")
    if isinstance(encoder, dict) and isinstance(encoder.get("weights"), list):
        settable += [f"encoder.weights.{number}" for number in range(len(encoder["weights"]))]
    given = parse_settings(settings, settable)
    for key, (identity, content) in CHECKED_BY.items():
        section, _, name = identity.partition(".")
        node = config.get(section)
        if key in given and not (isinstance(node, dict) and node.get(name)):
            allowed = f"may be set only if the config of the run has {identity}, by which the {content} is checked"
            raise SettingError(key, given[key], allowed)
    tracking = config.get("tracking")
    tracking_given = any(key.startswith("tracking") for key in given)
    if isinstance(tracking, dict) and tracking.get("name") == "none" and not tracking_given:
        given["tracking"] = "none"  # a run without tracking is reproduced without it
    caller = defaults(_default_overrides(config, given))
    config = config | {key: caller[key] for key in CALLER_KEYS}
    of_dataset = {key: caller["dataset"].get(key) for key in of_this_machine if key in dataset}
    config = config | {"dataset": dataset | of_dataset}
    if isinstance(encoder, dict) and "cache" in encoder:
        config = config | {"encoder": encoder | {"cache": caller["encoder"].get("cache")}}
    for key, value in given.items():
        group, _, field = key.partition(".")
        if key != "tracking":
            config = config | {group: _with_value(config[group], field, value) if field else value}
    return config


def _with_value(node: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """Replace a setting in a node of a config.

    Args:
        field: name of the setting, such as `cache`, or of one value of a list, such as `weights.1`.
    """
    name, _, index = field.partition(".")
    values = node.get(name)
    if index.isdigit() and isinstance(values, list) and int(index) < len(values):
        return node | {name: [*values[: int(index)], value, *values[int(index) + 1 :]]}
    return node | {field: value}


def _default_overrides(config: dict[str, Any], given: dict[str, Any]) -> list[str]:
    """List the overrides (KEY=VALUE) from which Hydra composes a config with the default values for this user.

    The overrides name the data set and the encoder of the saved config, and the tracker and output folder that the user
    has given.

    Args:
        config: the saved config. It may be damaged, so options that do not exist are ignored.
        given: the user's settings, as key -> value.
    """
    from semisup.config.compose import option_files
    from semisup.config.quoting import format_value

    overrides = []
    for group in ("dataset", "encoder"):
        name = config[group].get("name") if isinstance(config.get(group), dict) else None
        overrides += [f"{group}={name}"] if name in option_files(group) else []
    overrides += [f"tracking={given['tracking']}"] if "tracking" in given else []
    return overrides + ([f"output_root={format_value(str(given['output_root']))}"] if "output_root" in given else [])
