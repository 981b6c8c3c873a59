"""Validate a composed or saved config and build the settings objects of a run.

Every mistake raises a SettingError that names the key as a user types it.
"""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from omegaconf import DictConfig

from semisup.config import registry
from semisup.config.config_folder import default_value
from semisup.config.controls import fix_unused_by_probe
from semisup.config.method_combinations import check_combinations
from semisup.config.nested_keys import dotted_keys
from semisup.config.nodes import GROUP_NODES, SECTIONS
from semisup.config.normal_form import coerce_types, normalize, resolve
from semisup.config.parent_run import identify_parent
from semisup.config.precision import resolve_precision
from semisup.config.run_id import ConfigDict, run_id
from semisup.config.sections import CheckpointSettings, CollapseSettings, RunSettings, SweepSettings
from semisup.config.settings_objects import build_group, build_node, build_section, merge_strictly
from semisup.core.inference import LabelerSettings
from semisup.dataset import Dataset, identify_truth
from semisup.encoder import Encoder, identify_encoder
from semisup.errors import SettingError, closest_match
from semisup.method import labels_by_model
from semisup.model import identify_weights
from semisup.record.migrations import DEFINITIONS, RENAMED, changes_since
from semisup.runtime.accumulation import check_accumulation
from semisup.runtime.precision import require_compiler, require_device
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
    plain = normalize(resolve(config))
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
    run = merge_strictly(RunSettings, {key: value for key, value in plain.items() if key not in nodes})
    groups = {name: build_group(name, plain[name]) for name in GROUP_NODES}
    sections = {name: build_section(name, cls, plain[name]) for name, cls in SECTIONS.items()}
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
    plain = coerce_types(plain, run, groups | sections)
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
        (groups if key in groups else sections)[key] = build_node(key, node)
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
