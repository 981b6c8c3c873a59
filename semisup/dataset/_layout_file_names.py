"""Layout `file_names`: the name of each image file contains its class.

    training/0_12.jpg     validation/0_0.jpg     evaluation/0_3.jpg          the original form of Food-11
    cat_12.jpg                                                               all images in the root

The class is the group `class` of the regular expression `dataset.class_pattern`, which must match the whole file name.
Images in subfolders of these folders are not read.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from semisup.dataset._describe import describe, some
from semisup.dataset._file_index import FileSplit
from semisup.dataset._find_folders import other_places, train_folder
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._other_sets import NO_CLASS, is_unlabeled, scan_unlabeled, unlabeled_test_set
from semisup.dataset._source import Source, last_name
from semisup.errors import DataError, SettingError, closest_match
from semisup.images.ignored_files import with_ignored
from semisup.images.scan import ImageFile, Scan, shown
from semisup.text import printable

EXPECTS = "train/<class>_1.jpg, val/..., test/..., or <class>_1.jpg in the root"
NAMELESS = "no class in its name"
"""Reason for ignoring an image."""


class _Named(NamedTuple):
    """Images of a folder.

    by_class: class -> images with this class in their file names
    without: images without a class in their file names
    """

    by_class: dict[str, list[ImageFile]]
    without: list[ImageFile]


def matches(source: Source, names: SetNames) -> bool:
    """Whether the file names contain classes.

    If the images are in the root and the user gave no pattern, all classes must be numbers. Otherwise, the
    names IMG_1.jpg and DSC_1.jpg of images from two cameras would give the classes IMG and DSC.
    """
    classes = possible_classes(source, names)
    certain = names.has_own_pattern or _train_folder(source, names) != "."
    return bool(classes) and (certain or all(name.isdecimal() for name in classes))


def possible_classes(source: Source, names: SetNames) -> list[str]:
    """List the classes in the file names of the labeled images.

    Returns:
        the classes; [] if they are not plausible: fewer than two, fewer than two images per class on average, or more
        than a tenth of the names without a class.
    """
    named = _by_name(_scan(source, _train_folder(source, names)).files, names)
    count = sum(map(len, named.by_class.values()))
    possible = 2 <= len(named.by_class) <= count / 2 and count >= 9 * len(named.without)
    return sorted(named.by_class, key=str.encode) if possible else []


def scanned(source: Source, names: SetNames) -> Mapping[str, list[str]]:
    return {"root" if folders == ["."] else key: folders for key, folders in _places(source, names).items() if folders}


def read(source: Source, names: SetNames) -> Listing:
    places, ignored, notes = _places(source, names), Counter[str](), list[str]()
    (where,) = places["labeled"]
    named = _classify(source, where, _scan(source, where), names, ignored, notes)
    classes = sorted(named.by_class, key=str.encode)
    if len(classes) < 2:
        raise DataError(
            f"{source.shown(where)}: the names of its files have {len(classes)} class{'' if classes else 'es'};"
            " there must be at least 2"
        )
    labeled = _split(named, classes)
    unlabeled = scan_unlabeled(source, places["unlabeled"], ignored)
    validation = [
        _known(source, each, _classify(source, each, _scan(source, each), names, ignored, notes), classes)
        for each in places["validation"]
    ]
    test = _test(source, places, names, classes, ignored, notes)
    description = describe(source, "images with the class in the file name", places, ["images"] if where == "." else [])
    description += f"; {len(classes)} classes: {some(classes)}"
    notes += _unread_folders(source, places)
    first = validation[0] if validation else None
    return Listing(classes, labeled, unlabeled, first, test, ignored, [description, *notes])


def _unread_folders(source: Source, places: Mapping[str, list[str]]) -> list[str]:
    """Describe the subfolders of image folders, which this layout does not read, in one line for each image folder."""
    used = [each for folders in places.values() for each in folders]
    lines = []
    for where in (each for key in ("labeled", "validation", "test") for each in places[key] if each != "."):
        inner = [f"{shown(each)}/" for each in source.folders(where).values() if each not in used]
        lines += [f"folders beside images with the class in the file name are not read: {some(inner)}"] if inner else []
    return lines


def _train_folder(source: Source, names: SetNames) -> str:
    return train_folder(source, names) or "."


def _places(source: Source, names: SetNames) -> dict[str, list[str]]:
    where = _train_folder(source, names)
    return {"labeled": [where]} | other_places(source, names, where)


def _by_name(files: Iterable[ImageFile], names: SetNames) -> _Named:
    pattern = re.compile(names.class_pattern)
    named = _Named(defaultdict(list), [])
    for file in files:
        match = pattern.fullmatch(last_name(file.name))
        name = match["class"] if match else None
        if name:
            named.by_class[unicodedata.normalize("NFC", name)].append(file)
        else:
            named.without.append(file)
    return named


def _scan(source: Source, where: str) -> Scan:
    return source.scan(where, recursive=False)


def _classify(
    source: Source, where: str, result: Scan, names: SetNames, ignored: Counter[str], notes: list[str]
) -> _Named:
    """Group the images of a folder by the class in their file names.

    Args:
        result: the scan of the folder.
        ignored: suffix or other reason -> how many files are not read; this function adds to it.
        notes: lines of output; this function adds one about images without a class.

    Raises:
        DataError: there is no image.
        SettingError: no file name contains a class.
    """
    ignored.update(result.ignored)
    ignored.update(result.suffixes)
    if not result.files:
        message = f"{source.shown(where)}: holds no image files"
        raise DataError(with_ignored(message, Counter(result.suffixes)))
    named = _by_name(result.files, names)
    if not named.by_class:
        example = printable(last_name(result.files[0].name), 60)
        allowed = f"matches none of the {len(result.files)} images in {source.shown(where)}, such as {example}"
        raise SettingError("dataset.class_pattern", names.class_pattern, allowed)
    if named.without:
        ignored[NAMELESS] += len(named.without)
        example = printable(last_name(named.without[0].name), 60)
        counts = f"{len(named.without)} of {len(result.files)} images in {source.shown(where)}"
        notes.append(f"{counts} are not read: dataset.class_pattern does not match their names, such as {example}")
    return named


def _known(source: Source, where: str, named: _Named, classes: list[str]) -> FileSplit:
    """Return the images of a folder with the indices of their classes in `classes`.

    Args:
        classes: classes of the labeled images.

    Raises:
        DataError: a file name contains a class that no labeled image has.
    """
    if unknown := sorted(set(named.by_class) - set(classes)):
        near = closest_match(unknown[0], classes)
        raise DataError(
            f"{source.shown(where)}: the file names contain classes that no labeled image has: {some(unknown)}"
            + (f" (did you mean {near}?)" if near else "")
        )
    return _split(named, classes)


def _split(named: _Named, classes: list[str]) -> FileSplit:
    pairs = [(file, number) for number, name in enumerate(classes) for file in named.by_class.get(name, ())]
    return FileSplit([file for file, _ in pairs], [number for _, number in pairs])


def _test(
    source: Source,
    places: Mapping[str, list[str]],
    names: SetNames,
    classes: list[str],
    ignored: Counter[str],
    notes: list[str],
) -> FileSplit | None:
    """List the images of the test folder; None if no file name contains a class of the labeled images."""
    for where in places["test"]:
        result = _scan(source, where)
        shared = set(_by_name(result.files, names).by_class) & set(classes)
        if is_unlabeled(where, places):
            if shared:
                raise unlabeled_test_set(where)
            return None
        if shared:
            return _known(source, where, _classify(source, where, result, names, ignored, notes), classes)
        if files := result.files:
            ignored[NO_CLASS] += len(files)
            reason = f"the names of the {len(files)} images in {shown(where)}/ contain no class of the labeled images"
            notes.append(f"no test accuracy: {reason}; semisup predict classifies them")
    return None
