"""Layout `folders`: the settings `dataset.labeled`, `unlabeled`, `validation` and `test` name one folder for each set.

The default is the layout of Food-11:

    training/labeled/<class>/...     training/unlabeled/...     validation/<class>/...     testing/<class>/...

The classes are the subfolders of the folder of labeled images. A test folder without class folders is not read.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

from semisup.dataset._class_folders import files_by_class, list_classes
from semisup.dataset._file_index import FileSplit
from semisup.dataset._find_folders import find_folder, is_word, named_folders, unread_folders, word_folders
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._other_sets import read_test, scan_unlabeled
from semisup.dataset._source import Source, last_name
from semisup.errors import DataError, SettingError, closest_match
from semisup.images.scan import ImageFile, shown
from semisup.text import listed

EXPECTS = "training/labeled/<class>/..., training/unlabeled/..., validation/<class>/..., testing/<class>/..."


def matches(source: Source, names: SetNames) -> bool:
    """Whether the folder that `dataset.labeled` names exists and has subfolders."""
    return source.is_dir(names.labeled) and bool(source.folders(names.labeled))


def scanned(source: Source, names: SetNames) -> Mapping[str, list[str]]:
    folders = {key: getattr(names, key) for key in ("labeled", "validation", "test")}
    single = {key: [folder] for key, folder in folders.items() if folder is not None}
    return single | {"unlabeled": list(names.unlabeled or ())}


def read(source: Source, names: SetNames) -> Listing:
    ignored: Counter[str] = Counter()
    if not source.is_dir(names.labeled):
        raise missing_folder(source, "labeled", names.labeled)
    skip = {each for each in (*(names.unlabeled or ()), names.validation, names.test) if each is not None}
    words = word_folders(source, ".") if PurePosixPath(names.labeled) == PurePosixPath() else []
    skip.update(words)
    classes = list_classes(source, names.labeled, skip)
    labeled = files_by_class(source, "labeled", names.labeled, classes, ignored, skip)
    unlabeled = _unlabeled(source, names, ignored)
    validation = _validation(source, names, classes, ignored)
    test, notes = read_test(
        source, {"unlabeled": names.unlabeled or (), "test": _test(source, names)}, classes, ignored
    )
    notes += _unread_test(source, names) or _unread_words(source, names, words)
    return Listing(classes, labeled, unlabeled, validation, test, ignored, notes)


def missing_folder(source: Source, key: str, where: str) -> DataError:
    """Build the error about a setting that names a missing folder; the message lists the folders in the root.

    Args:
        key: the setting, such as `labeled`.
        where: its value.
    """
    present = ", ".join(f"{shown(last_name(each))}/" for each in source.subfolders(".")[:8])
    for root, other in source.other_roots():
        if other.is_dir(where):
            present += f" (did you mean dataset.root={root}?)"
            break
    contents = f"dataset.root contains {present or 'no folder'}"
    missing = f"there is no folder {source.shown(where)}, with one folder per class; {contents}"
    return DataError(f"dataset.{key}={where}: {missing}")


def _unlabeled(source: Source, names: SetNames, ignored: Counter[str]) -> list[ImageFile]:
    """List the unlabeled images in the folders that `dataset.unlabeled` names.

    If it names a single folder with a usual name, such as `training/unlabeled`, and neither this folder nor a similar
    one exists, there are no unlabeled images: [].

    Raises:
        SettingError: a folder that the setting names does not exist, except in the case above.
    """
    folders = names.unlabeled or ()
    for where in folders:
        if source.is_dir(where):
            continue
        near = _similar_folder(source, names, where)
        if near is None and len(folders) == 1 and is_word("unlabeled", last_name(where)):
            return []
        fix = "without unlabeled images, type dataset.unlabeled=null"
        raise SettingError("dataset.unlabeled", where, f"there is no folder {source.shown(where)}; {fix}", near)
    return scan_unlabeled(source, folders, ignored)


def _similar_folder(source: Source, names: SetNames, where: str) -> str | None:
    """Find the folder of unlabeled images that the user may have meant by the path `where`, which does not exist.

    The folders beside `where` and in the root are searched for a usual name, such as `unlabeled`, and then for a name
    similar to that of `where`.

    Returns:
        the path of the folder; None if there is none.
    """
    siblings = source.subfolders(PurePosixPath(where).parent.as_posix())
    others = [each for each in dict.fromkeys((*siblings, *source.subfolders("."))) if each != names.labeled]
    if usual := next((each for each in others if is_word("unlabeled", last_name(each))), None):
        return usual
    near = closest_match(last_name(where), [last_name(each) for each in others])
    return next((each for each in others if last_name(each) == near), None)


def _validation(source: Source, names: SetNames, classes: list[str], ignored: Counter[str]) -> FileSplit | None:
    if names.has_folds and not (names.validation and source.is_dir(names.validation)):
        return None
    where = find_folder(source, "validation", names.validation)
    return None if where is None else files_by_class(source, "validation", where, classes, ignored)


def _test(source: Source, names: SetNames) -> list[str]:
    return [names.test] if names.test and source.is_dir(names.test) else []


def _unread_test(source: Source, names: SetNames) -> list[str]:
    """Return one line of output for each folder that is named like a test set but is not read."""
    if names.test is None or _test(source, names):
        return []
    others = [each for each in named_folders(source, "test") if each not in (names.unlabeled or ())]
    return [f"{shown(each)}/ is not read; dataset.test={shown(each)} makes it the test set" for each in others]


def _unread_words(source: Source, names: SetNames, words: list[str]) -> list[str]:
    """Return a line of output with the folders that are not read; [] if all are read.

    Args:
        words: folders that are named like a set of images, such as `val`.
    """
    validation = None if names.validation is None else find_folder(source, "validation", names.validation)
    places = {"unlabeled": names.unlabeled or (), "validation": [validation] if validation else []}
    unread = unread_folders(words, places | {"test": _test(source, names)})
    return [f"not read: {listed([f'{shown(each)}/' for each in unread], 'and')}"] if unread else []
