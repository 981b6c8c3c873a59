"""Configs saved by earlier versions: what a key that came later would have said, had it been there.

The value that leaves every number as it was, and not today's default: an old run is read, compared and reproduced as
what it was, but for methods at every step, whose unlabeled images the labeled ones were not among: their numbers are
others now. A key that is added to conf/ gets a line here; `tests/test_older.py` asks for it.
"""

from typing import Any

Plain = dict[str, Any]

SECTIONS: Plain = {
    "channels_last": False,
    "compile": False,
    "deterministic": True,
    "labeler": {"calibrate": False},
    "collapse": {"warn_below": None, "stop_below": None},
}
"""Sections, and keys outside of any, that came later."""

KEYS: tuple[tuple[str, tuple[str, ...], Plain], ...] = (
    ("checkpoint", (), {"every_steps": None}),
    ("sweep", (), {"fail_fast": False, "share_warm_up": False}),
    ("optimizer", ("adamw", "sgd"), {"decay_norm_and_bias": True, "layer_decay": 1.0}),
    ("dataset", ("folder", "eurosat", "food101"), {"on_leak": "ignore", "resident_gb": None}),
    ("dataset", ("cifar10", "cifar100", "fashion_mnist", "mnist", "stl10", "svhn"), {"on_leak": "ignore"}),
    ("method", ("fixmatch", "uda", "mean_teacher"), {"kept_only": False}),
    ("method", ("fixmatch", "uda"), {"by_average": False, "ramp": 0.0}),
    ("method", ("self_training", "noisy_student"), {"ratio": None}),
    ("train", (), {"ema_warm_up": False, "ema_statistics": False}),
)
"""Section or group, the options of the group that have them, and keys that came later."""


def completed(plain: Plain) -> Plain:
    """The same config with every key that came later; what is not the config of a run stays as it is."""
    if not isinstance(plain.get("method"), dict):
        return plain
    plain = plain | {section: keys for section, keys in SECTIONS.items() if section not in plain}
    for section, options, keys in KEYS:
        node = plain.get(section)
        if isinstance(node, dict) and (not options or node.get("name") in options):
            plain = plain | {section: node | {key: value for key, value in keys.items() if key not in node}}
    return plain
