"""Layout `splits`: one folder for each set of images, with a usual name, and in it one folder for each class.

    train/<class>/...     val/<class>/...     test/<class>/...     unlabeled/...

The usual names are in `_split_words.py`. The folder of labeled images can also be `train/labeled/`, and the folder of
unlabeled images can be inside `train/`.
"""

from collections import Counter
from collections.abc import Mapping

from semisup.dataset._class_folders import files_by_class, list_classes
from semisup.dataset._describe import describe
from semisup.dataset._find_folders import (
    class_candidates,
    other_places,
    train_folder,
    unread_folders,
    word_folders,
)
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._other_sets import read_test, read_validation, scan_unlabeled
from semisup.dataset._source import Source
from semisup.dataset._split_words import FOLDER_WORDS
from semisup.errors import DataError
from semisup.text import listed

EXPECTS = "train/<class>/..., and if you have them val/<class>/..., test/<class>/..., unlabeled/..."


def matches(source: Source, names: SetNames) -> bool:
    where = train_folder(source, names)
    return where is not None and bool(class_candidates(source, where))


def scanned(source: Source, names: SetNames) -> Mapping[str, list[str]]:
    return {key: folders for key, folders in _places(source, names).items() if folders}


def read(source: Source, names: SetNames) -> Listing:
    places, ignored = _places(source, names), Counter[str]()
    if not places["labeled"]:
        words = listed([f"{word}/" for word in FOLDER_WORDS["labeled"]])
        raise DataError(f"dataset.layout=splits: {source.shown('.')} has no folder {words}")
    (where,) = places["labeled"]
    insides = dict.fromkeys((where, where.partition("/")[0]))
    inner = [each for inside in insides for each in word_folders(source, inside)]
    skip = {*inner, *(each for key in ("unlabeled", "validation", "test") for each in places[key])}
    classes = list_classes(source, where, skip)
    labeled = files_by_class(source, "labeled", where, classes, ignored, skip)
    unlabeled = scan_unlabeled(source, places["unlabeled"], ignored)
    validation = read_validation(source, places, classes, ignored)
    test, notes = read_test(source, places, classes, ignored)
    unread = unread_folders(inner, places) if where != "." else []  # `describe` names those in the root
    description = describe(source, "folders of labeled, validation and test images", places, unread=unread)
    return Listing(classes, labeled, unlabeled, validation, test, ignored, [description, *notes])


def _places(source: Source, names: SetNames) -> dict[str, list[str]]:
    where = train_folder(source, names)
    return {"labeled": [where] if where is not None else []} | other_places(source, names, where or ".")
