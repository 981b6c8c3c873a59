"""Usual names of the splits of a data set in tables and file names, such as `val`, `valid` or `dev`."""

import re
from collections.abc import Mapping

from semisup.core.types import SPLITS

LABELED, UNLABELED, VALIDATION, TEST = SPLITS

FOLDER_WORDS: Mapping[str, tuple[str, ...]] = {
    LABELED: ("train", "training", "labeled", "labelled"),
    UNLABELED: ("unlabeled", "unlabelled"),
    VALIDATION: ("val", "valid", "validation"),
    TEST: ("test", "testing", "evaluation"),
}
"""Split -> usual names of its folder; a folder of such a name is never a class."""

_OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    LABELED: ("trn", "fit"),
    UNLABELED: ("unsupervised", "unsup", "pool", "extra"),
    VALIDATION: ("validate", "dev"),
    TEST: ("tst", "eval", "holdout"),
}
"""Split -> further words for it in tables and in the names of tables and archives; they can be names of classes."""

SPLIT_WORDS: Mapping[str, str] = {
    word: split for words in (FOLDER_WORDS, _OTHER_WORDS) for split in words for word in words[split]
}
"""Word in lower case -> split."""


def split_of_name(name: str) -> str | None:
    """Return the split that a file name begins with, such as `train` for `trainLabels.csv`.

    Returns:
        A name of `SPLITS`; None if the first word is another one.
    """
    first = re.match(r"[A-Z]+(?![a-z])|[A-Za-z][a-z]*", name)
    return SPLIT_WORDS.get(first.group().lower()) if first else None
