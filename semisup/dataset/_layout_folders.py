"""Layout `folders`: the folders that `dataset.labeled`, `unlabeled`, `validation` and `test` name.

The default is the layout of Food-11:

    training/labeled/<class>/...     training/unlabeled/...     validation/<class>/...     testing/<class>/...

The classes are the subfolders of the folder of labeled images. The names of folders inside the folder of unlabeled
images are ignored. A test folder without class folders is not read, because the classes of its images are not known;
`semisup predict` can classify them.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

from semisup.dataset._class_folders import files_by_class, list_classes, scan_files
from semisup.dataset._file_index import FileSplit
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._source import Source, last_name
from semisup.errors import DataError, SettingError, closest_match
from semisup.images.scan import ImageFile, shown


def matches(source: Source, names: SetNames) -> bool:
    return source.is_dir(names.labeled)


def scanned(source: Source, names: SetNames) -> Mapping[str, list[str]]:
    folders = {key: getattr(names, key) for key in ("labeled", "unlabeled", "validation", "test")}
    return {key: [folder] for key, folder in folders.items() if folder is not None}


def read(source: Source, names: SetNames) -> Listing:
    ignored: Counter[str] = Counter()
    if not source.is_dir(names.labeled):
        raise missing_folder(source, "labeled", names.labeled)
    classes = list_classes(source, names.labeled)
    labeled = files_by_class(source, "labeled", names.labeled, classes, ignored)
    unlabeled = _unlabeled(source, names, ignored)
    validation = _validation(source, names, classes, ignored)
    test = _test(source, names.test, classes, ignored)
    return Listing(classes, labeled, unlabeled, validation, test, ignored)


def missing_folder(source: Source, key: str, where: str) -> DataError:
    """Build the error for a missing folder: what it should contain, and which folders exist instead."""
    present = ", ".join(f"{shown(last_name(each))}/" for each in source.subfolders(".")[:8])
    for root, other in source.other_roots():
        if other.is_dir(where):
            present += f" (did you mean dataset.root={root}?)"
            break
    contents = f"dataset.root contains {present or 'no folder'}"
    missing = f"there is no folder {source.shown(where)}, with one folder per class; {contents}"
    return DataError(f"dataset.{key}={where}: {missing}")


def _unlabeled(source: Source, names: SetNames, ignored: Counter[str]) -> list[ImageFile]:
    where = names.unlabeled
    if where is None:
        return []
    if not source.is_dir(where):
        siblings = source.subfolders(PurePosixPath(where).parent.as_posix())
        near = closest_match(last_name(where), [last_name(each) for each in siblings if each != names.labeled])
        allowed = f"there is no folder {source.shown(where)}; without unlabeled images use null and method=supervised"
        raise SettingError("dataset.unlabeled", where, allowed, near)
    return list(scan_files(source, where, ignored))


def _validation(source: Source, names: SetNames, classes: list[str], ignored: Counter[str]) -> FileSplit | None:
    where = names.validation
    if where is None or (names.has_folds and not source.is_dir(where)):
        return None
    if not source.is_dir(where):
        fix = "dataset.folds=5 dataset.fold=0 holds out labeled images instead"
        raise DataError(f"{missing_folder(source, 'validation', where)}; {fix}")
    return files_by_class(source, "validation", where, classes, ignored)


def _test(source: Source, where: str | None, classes: list[str], ignored: Counter[str]) -> FileSplit | None:
    if not where or not source.is_dir(where):
        return None
    if set(source.folders(where)) & set(classes):
        return files_by_class(source, "test", where, classes, ignored)
    ignored["test image of no known class"] += len(scan_files(source, where, ignored))
    return None
