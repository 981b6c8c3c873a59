"""Write the rows of the search over methods, policies and remedies: python docs/write_search.py > search.csv

Each line is one run on the features of a frozen encoder: 7 data settings x 3 seeds x the combinations below. An empty
cell leaves the setting at its default.
"""

import csv
import sys
from collections.abc import Iterator

Settings = dict[str, str]

GROCERY = {
    "dataset": "folder",
    "dataset.root": "grocery11",
    "dataset.truth": "truth.csv",
    "dataset.size": "224",
}
FASHION = {
    "dataset": "fashion_mnist",
    "dataset.root": "fashion_mnist",
    "dataset.validation_share": "0.9",
    "dataset.validation_per_class": "100",
    "encoder.input_size": "96",
    "encoder.views": "1",
}
KNOWN = "['00','01','02','03','04','05','06']"
DATA = {
    "g4": GROCERY | {"dataset.labels_per_class": "4"},
    "g10": GROCERY | {"dataset.labels_per_class": "10"},
    "g30": GROCERY,
    "open": GROCERY | {"dataset.labels_per_class": "10", "dataset.only_classes": KNOWN},
    "tail": GROCERY
    | {"dataset.imbalance": "20", "dataset.imbalance_unlabeled": "-20", "train.select_by": "balanced_accuracy"},
    "f4": FASHION | {"dataset.labels_per_class": "4"},
    "f40": FASHION | {"dataset.labels_per_class": "40"},
}
SEEDS = ("0", "1", "2")

VIEWS = {"augment": "randaugment", "augment.strength": "0.25"}
FIXMATCH = VIEWS | {"method": "fixmatch", "method.ramp": "0.3", "method.ema_teacher": "true"}
UDA = VIEWS | {"method": "uda", "method.ramp": "0.3", "method.ema_teacher": "true"}
PSEUDO_LABEL = VIEWS | {"method": "pseudo_label"}
SELF_TRAINING = VIEWS | {
    "method": "self_training",
    "method.gate": "0",
    "method.ratio": "1",
    "method.refresh_every": "10",
}
PROPAGATION = {
    "method": "label_propagation",
    "method.lambda_unlabeled": "3",
    "augment": "none",
    "augment@weak": "none",
}
MOMENTUM = {"threshold.momentum": "0.99"}
POLICIES = {
    "fixed": {"threshold": "fixed", "threshold.tau": "0.95"},
    "fixed at 0.7": {"threshold": "fixed", "threshold.tau": "0.7"},
    "adamatch": {"threshold": "adamatch"} | MOMENTUM,
    "flexmatch": {"threshold": "flexmatch"},
    "freematch": {"threshold": "freematch"} | MOMENTUM,
    "softmatch": {"threshold": "softmatch"} | MOMENTUM,
    "class_balanced": {"threshold": "class_balanced"},
    "quantile": {"threshold": "quantile"} | MOMENTUM,
    "ramp": {"threshold": "ramp"},
}
REJECT = [{"reject": name} for name in ("energy", "max_logit", "knn")]
LOSS = [
    {"loss": "class_weights"},
    *({"loss": "logit_adjustment", "loss.unlabeled": unlabeled} for unlabeled in ("none", "labels", "estimate")),
]
DEBIAS = {"debias": "debiaspl", "debias.momentum": "0.99"}
TEACHERS = {"labeler.teachers": "3"}
PAIRS = [REJECT[2] | LOSS[0], REJECT[2] | LOSS[3], REJECT[2] | DEBIAS, LOSS[1] | DEBIAS]


def combinations() -> Iterator[Settings]:
    """List the combinations of method, policy and remedies that are trained on each data setting."""
    for method, policies in (
        (FIXMATCH, list(POLICIES)),
        (UDA, list(POLICIES)[:6]),
        (PSEUDO_LABEL, list(POLICIES)[:6]),
        (SELF_TRAINING, list(POLICIES)[:6]),
    ):
        yield from (method | POLICIES[policy] for policy in policies)
    for prior in ("uniform", "labels", "none"):
        for tau in ("0.3", "0.5", "0.7"):
            yield PROPAGATION | {"threshold": "fixed", "threshold.tau": tau, "method.prior": prior}
    for policy in ("fixed at 0.7", "adamatch", "softmatch"):
        for remedy in (*REJECT, *LOSS, DEBIAS, *PAIRS):
            yield FIXMATCH | POLICIES[policy] | remedy
    yield from (SELF_TRAINING | POLICIES[policy] | TEACHERS for policy in ("fixed at 0.7", "adamatch"))
    half = PROPAGATION | {"threshold": "fixed", "threshold.tau": "0.5"}
    for remedy in (*REJECT, *LOSS, *PAIRS[:2]):
        yield half | remedy


def rows() -> list[Settings]:
    """List the settings of every run: all with the first seed, then all with the second one, and so on."""
    every = list(combinations())
    return [
        data | {"name": name, "seed": seed} | each for seed in SEEDS for name, data in DATA.items() for each in every
    ]


def main() -> None:
    """Write the rows as CSV to standard output."""
    settings = rows()
    keys = list(dict.fromkeys(key for row in settings for key in row))
    writer = csv.DictWriter(sys.stdout, keys, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(settings)


if __name__ == "__main__":
    main()
