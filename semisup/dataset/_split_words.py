"""Usual names of the splits of a data set in tables and file names, such as `val`, `valid` or `dev`."""

import re
from collections.abc import Mapping

from semisup.core.types import SPLITS

LABELED, UNLABELED, VALIDATION, TEST = SPLITS

SPLIT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trn", "fit", "labeled", "labelled"), LABELED),
    **dict.fromkeys(("unlabeled", "unlabelled", "unsupervised", "unsup", "pool", "extra"), UNLABELED),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), TEST),
}
"""Word in lower case -> split."""


def split_of_name(name: str) -> str | None:
    """Return the split that a file name begins with, such as `train` for `trainLabels.csv`.

    Returns:
        A name of `SPLITS`; None if the first word is another one.
    """
    first = re.match(r"[A-Z]+(?![a-z])|[A-Za-z][a-z]*", name)
    return SPLIT_WORDS.get(first.group().lower()) if first else None
