"""Usual names of the splits of a data set in names of folders, tables and archives, such as `val`, `valid` or `dev`."""

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
    """Return the split that is named by the first word of a file name, such as `labeled` for `trainLabels.csv`.

    Returns:
        a name of `SPLITS`; None if the first word is not the usual name of a split.
    """
    first = re.match(r"[A-Z]+(?![a-z])|[A-Za-z][a-z]*", name)
    return SPLIT_WORDS.get(first.group().lower()) if first else None
