"""Layout `classes`: the root of the data set contains one folder for each class.

    <class>/...

A folder in the root that is named like a set of images, such as `test`, is not a class. It contains the images of this
set, which are not used if the setting, such as `dataset.test`, is null.
"""

from collections import Counter
from collections.abc import Mapping

from semisup.dataset._class_folders import files_by_class, list_classes
from semisup.dataset._describe import describe, some
from semisup.dataset._find_folders import class_candidates, other_places, unread_folders, word_folders
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._other_sets import read_test, read_validation, scan_unlabeled
from semisup.dataset._source import Source

EXPECTS = "<class>/..., one folder for each class in the root"


def matches(source: Source, names: SetNames) -> bool:
    folders = class_candidates(source, ".")
    return len(folders) >= 2 and any(source.scan(each).files for each in folders)


def scanned(source: Source, names: SetNames) -> Mapping[str, list[str]]:
    return {"root": ["."]}


def read(source: Source, names: SetNames) -> Listing:
    places, ignored = other_places(source, names, "."), Counter[str]()
    skip = {top for folders in places.values() for each in folders for top in (each, each.partition("/")[0])}
    words = word_folders(source, ".")
    skip.update(words)
    classes = list_classes(source, ".", skip)
    labeled = files_by_class(source, "labeled", ".", classes, ignored, skip)
    unlabeled = scan_unlabeled(source, places["unlabeled"], ignored)
    validation = read_validation(source, places, classes, ignored)
    test, notes = read_test(source, places, classes, ignored)
    shown_places, unread = {"labeled": ["."]} | places, unread_folders(words, places)
    description = describe(source, "class folders", shown_places, reads=["folders", "images"], unread=unread)
    description += f"; {len(classes)} classes: {some(classes)}"
    return Listing(classes, labeled, unlabeled, validation, test, ignored, [description, *notes])
