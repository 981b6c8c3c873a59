"""Convert configs that earlier versions saved: rename keys, and add keys that did not exist.

An added key gets the value that leaves the results of an old run unchanged. This value may differ from the default of
today.

`DEFINITIONS` is a version number that is increased when a setting with the same name and value gets another effect. A
run whose config is affected by such a change can be read and compared, but not trained again (`changes_since`).
"""

from typing import Any, NamedTuple

ConfigDict = dict[str, Any]

DEFINITIONS = 2
"""Version of the meaning of settings; `definitions` in `conf/train.yaml` has the same number."""


class Change(NamedTuple):
    """A change of the effect of settings in a version of semisup.

    version: value of `DEFINITIONS` from which the change applies
    affected: key, such as `method.name` -> its affected values; a config is affected if all keys have such values
    sentence: description of the change, for the error message
    after: versions of semisup whose configs are affected even if their `definitions` is equal to `version`, because
        the change may have been made later
    """

    version: int
    affected: dict[str, tuple[object, ...]]
    sentence: str
    after: tuple[str, ...] = ()


CHANGES: tuple[Change, ...] = (
    Change(
        2,
        {"method.name": ("uda",), "method.lambda_unlabeled": (0,), "method.tsa": ("linear", "log", "exp")},
        "method.tsa also applies with method.lambda_unlabeled=0",
    ),
    Change(
        2,
        {"method.name": ("mixmatch",), "method.lambda_unlabeled": (0,)},
        "mixmatch mixes the labeled images with each other with method.lambda_unlabeled=0",
    ),
    Change(
        2,
        {"method.name": ("noisy_student",), "method.lambda_unlabeled": (0,)},
        "noisy_student restarts with method.lambda_unlabeled=0 too",
    ),
    Change(
        2,
        {"threshold.name": ("dash",)},
        "threshold=dash shrinks its limit by epochs, after threshold.warmup_epochs epochs on labels only",
    ),
    Change(
        2,
        {"threshold.name": ("quantile",)},
        "threshold=quantile no longer selects one image too many where threshold.q times the images is a whole number",
    ),
    Change(
        2,
        {"threshold.name": ("adamatch",), "method.name": ("uda", "mixmatch", "mean_teacher")},
        "soft targets are those that threshold=adamatch aligned, as in the log",
    ),
    Change(
        2,
        {"threshold.name": ("freematch",), "method.name": ("mixmatch", "mean_teacher")},
        "threshold.lambda_fairness also applies with method=mixmatch and method=mean_teacher",
    ),
    Change(
        2,
        {
            "model.name": ("torchvision",),
            "model.architecture": (
                *("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"),
                *("swin_t", "swin_s", "swin_b", "maxvit_t"),
            ),
        },
        "class tokens, position embeddings and tables of relative positions have no weight decay",
        after=("0.2.0.dev0",),
    ),
)
"""Every change of the meaning of settings since version 1, oldest first.

Version 2 also changed the control of a run (`config/controls.py`), which affects no number of the run itself.
"""

RENAMED: dict[str, str] = {
    "schedule.warm_up": "schedule.warmup",
    "train.ema_warm_up": "train.ema_warmup",
    "train.ema_statistics": "train.ema_buffers",
    "threshold.warm_up": "threshold.warmup",
    "sweep.share_warm_up": "sweep.share_start",
    "train.scoring_batch_size": "train.eval_batch_size",
    "method.by_average": "method.ema_teacher",
    "method.kept_only": "method.skip_rejected",
    "method.annealing": "method.tsa",
    "dataset.mirror": "dataset.hflip",
    "dataset.on_leak": "dataset.on_duplicate",
    "dataset.resident_gb": "dataset.memory_gb",
}
"""Old name -> new name of keys of version 0.1.0; their meaning is unchanged since."""

ADDED_SECTIONS: ConfigDict = {
    "definitions": 1,
    "channels_last": False,
    "compile": False,
    "deterministic": True,
    "labeler": {"calibrate": False},
    "collapse": {"warn_below": None, "stop_below": None},
    "encoder": {"name": "none"},
    "reject": {"name": "none"},
    "loss": {"name": "cross_entropy"},
    "debias": {"name": "none"},
    "probe": {"classifier": None, "C": [], "k": []},
    "from": {"run": None, "checkpoint": None},
}
"""Sections, and keys outside any section, that were added after 0.1.0."""

ADDED_KEYS: tuple[tuple[str, tuple[str, ...], ConfigDict], ...] = (
    ("checkpoint", (), {"every_steps": None}),
    ("sweep", (), {"fail_fast": False, "share_start": False, "minutes": None}),
    ("optimizer", ("adamw", "sgd"), {"decay_norm_and_bias": True, "layer_decay": 1.0, "head_lr": None}),
    ("dataset", ("folder", "eurosat", "food101"), {"on_duplicate": "ignore", "memory_gb": None}),
    ("dataset", ("cifar10", "cifar100", "fashion_mnist", "mnist", "stl10", "svhn"), {"on_duplicate": "ignore"}),
    (
        "dataset",
        ("folder", "digits", "eurosat", "food101", "cifar10", "cifar100", "fashion_mnist", "mnist", "stl10", "svhn"),
        {"validation_per_class": None, "folds": None, "fold": None, "only_classes": None},
    ),
    (
        "dataset",
        ("folder",),
        {"layout": "auto", "class_pattern": "(?P<class>[^_]+)_.*", "validation_share": 0.2, "test_share": 0.0},
    ),
    ("dataset", ("folder",), {"imbalance_unlabeled": 1.0}),
    ("dataset", ("folder",), {"truth_sha256": None}),
    ("dataset", ("folder",), {"file_column": None, "class_column": None, "split_column": None, "image_folder": None}),
    ("method", ("fixmatch", "uda", "mean_teacher"), {"skip_rejected": False}),
    ("method", ("fixmatch", "uda"), {"ema_teacher": False, "ramp": 0.0}),
    ("method", ("self_training", "noisy_student"), {"ratio": None}),
    ("model", ("torchvision",), {"sha256": None}),
    ("method", ("fixmatch",), {"ramp_shape": "linear", "strong_labeled": False, "logit_interpolation": False}),
    ("threshold", ("dash",), {"warmup_epochs": 0}),
    (
        "train",
        (),
        {"ema_warmup": False, "ema_buffers": False, "select_by": "accuracy", "patience": None, "refit": False},
    ),
    ("train", (), {"head_first": 0.0, "max_grad_norm": None, "accumulate": 1}),
    ("model", ("timm",), {"train_blocks": None}),
    ("labeler", (), {"teachers": 1}),
    ("threshold", ("adamatch",), {"prior": "predictions"}),
    ("threshold", ("softmatch",), {"prior": "uniform"}),
    ("method", ("label_propagation",), {"prior": "uniform"}),
    ("model", ("torchvision",), {"freeze": "none", "train_blocks": None, "norm": "learn"}),
)
"""(section or group, options of the group; () = all, keys that were added after 0.1.0 with their values)."""


def migrate(config: ConfigDict) -> ConfigDict:
    """Convert a saved config to the present version: rename old keys, and add missing ones.

    A dictionary without a section `method` is not the config of a run and is returned unchanged.
    """
    if not isinstance(config.get("method"), dict):
        return config
    for old, new in RENAMED.items():
        section, _, key = old.partition(".")
        node = config.get(section)
        if isinstance(node, dict) and key in node:
            name = new.partition(".")[2]
            config = config | {section: {name if each == key else each: value for each, value in node.items()}}
    config = config | {section: keys for section, keys in ADDED_SECTIONS.items() if section not in config}
    for section, options, keys in ADDED_KEYS:
        node = config.get(section)
        if isinstance(node, dict) and (not options or node.get("name") in options):
            config = config | {section: node | {key: value for key, value in keys.items() if key not in node}}
    return config


def changes_since(config: ConfigDict, version: object = None) -> list[str]:
    """List the changes of the effect of settings that affect a config and were made after it was saved.

    Args:
        config: a saved config; its setting `definitions` is the value of `DEFINITIONS` when it was saved. Without this
            setting, the result is [].
        version: version of semisup that trained a run with this config; None = unknown.

    Returns:
        one sentence for each change.
    """
    made = config.get("definitions")
    return [
        change.sentence
        for change in CHANGES
        if isinstance(made, int)
        and (change.version > made or (change.version == made and version in change.after))
        and _is_affected(change, config)
    ]


def _is_affected(change: Change, config: ConfigDict) -> bool:
    return all(_value_at(config, key) in values for key, values in change.affected.items())


def _value_at(config: ConfigDict, dotted_key: str) -> Any:
    section, _, key = dotted_key.partition(".")
    node = config.get(section)
    return node.get(key) if isinstance(node, dict) else None
