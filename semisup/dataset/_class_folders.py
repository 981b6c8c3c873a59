"""List the images of a set (for example, the labeled images) that has one folder for each class."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from semisup.dataset._file_index import FileSplit
from semisup.dataset._source import Source
from semisup.errors import DataError, closest_match
from semisup.images.ignored_files import with_ignored
from semisup.images.scan import ImageFile
from semisup.text import counted

BESIDE = "image beside the class folders"
"""Reason for ignoring an image."""


def list_classes(source: Source, where: str, skip: Collection[str] = ()) -> list[str]:
    """List the names of the class folders in a folder of labeled images.

    Args:
        where: path of the folder.
        skip: paths of folders in it that are not classes.

    Raises:
        DataError: there are fewer than two class folders.
    """
    classes = [name for name, folder in source.folders(where).items() if folder not in skip]
    if len(classes) < 2:
        raise DataError(f"{source.shown(where)}: has {counted(len(classes), 'class folder')}; there must be at least 2")
    for names in _equal_but_for_case(classes):
        warnings.warn(f"{source.shown(where)}: classes that differ only in case: {names}", stacklevel=2)
    return classes


def files_by_class(
    source: Source, split: str, where: str, classes: list[str], ignored: Counter[str], skip: Collection[str] = ()
) -> FileSplit:
    """List the images in the class folders of a set, with their class numbers.

    Args:
        split: labeled, validation or test.
        where: path of the folder that contains the class folders.
        classes: names of the classes, in the order of their numbers.
        ignored: suffix or other reason -> number of files that are not read; this function adds to it.
        skip: paths of folders in `where` that are not classes.

    Raises:
        DataError: a folder is not one of `classes`, a class has no labeled image, or there is no image at all.
    """
    folders = {name: path for name, path in source.folders(where).items() if path not in skip}
    folder = source.shown(where)
    unknown = sorted(set(folders) - set(classes))
    if unknown:
        near = closest_match(unknown[0], classes)
        raise DataError(
            f"{folder}: has class folders that the labeled folder does not have: {', '.join(unknown[:5])}"
            + (f" (did you mean {near}?)" if near else "")
        )
    part, before_split = FileSplit([], []), ignored.copy()
    for number, name in enumerate(classes):
        before = ignored.copy()
        files = list(scan_files(source, folders[name], ignored)) if name in folders else []
        if not files and split == "labeled":
            message = f"{source.shown(folders[name])}: no image of class {name}; add images, or remove the folder"
            raise DataError(with_ignored(message, ignored - before))
        if not files:
            warnings.warn(f"{folder}: no image of class {name}", stacklevel=2)
        part.files.extend(files)
        part.targets.extend([number] * len(files))
    if not part.files:
        raise DataError(with_ignored(f"{folder}: holds no image files", ignored - before_split))
    if beside := source.scan(where, recursive=False).files:
        ignored[BESIDE] += len(beside)
    return part


def note_beside(ignored: Counter[str]) -> list[str]:
    """Describe how many images are beside the class folders, not in one of them, so that they are not read.

    Args:
        ignored: reason -> number of files that are not read.

    Returns:
        one line, or [] if there are no such images.
    """
    count = ignored[BESIDE]
    images = f"{count} image{'s are' if count != 1 else ' is'} not read"
    return [f"{images}: beside the class folders, not in one of them"] if count else []


def scan_files(source: Source, where: str, ignored: Counter[str]) -> tuple[ImageFile, ...]:
    """Find the image files in a folder and its subfolders; count all other files in `ignored`, by suffix or reason."""
    result = source.scan(where)
    ignored.update(result.ignored)
    ignored.update(result.suffixes)
    return result.files


def _equal_but_for_case(classes: Iterable[str]) -> list[str]:
    """Find class names that differ only in case; return each group as text, such as `Apple, apple`."""
    groups = defaultdict(list)
    for name in classes:
        groups[name.casefold()].append(name)
    return [", ".join(group) for group in groups.values() if len(group) > 1]
