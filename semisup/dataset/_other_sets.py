"""List the unlabeled, validation and test images of a data set with class folders."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from semisup.dataset._class_folders import files_by_class, scan_files
from semisup.dataset._describe import some
from semisup.dataset._file_index import FileSplit
from semisup.dataset._source import Source
from semisup.errors import SettingError
from semisup.images.scan import ImageFile, shown

NO_CLASS = "test image of no known class"
"""Reason for ignoring a test image."""


def scan_unlabeled(source: Source, folders: Sequence[str], ignored: Counter[str]) -> list[ImageFile]:
    """List the unlabeled images in the given folders and their subfolders, each image once.

    Args:
        ignored: suffix or other reason -> number of files that are not read; this function adds to it.
    """
    if len(folders) == 1:
        return list(scan_files(source, folders[0], ignored))
    files = {file.name: file for folder in folders for file in scan_files(source, folder, ignored)}
    return list(files.values())


def read_validation(
    source: Source, places: Mapping[str, Sequence[str]], classes: list[str], ignored: Counter[str]
) -> FileSplit | None:
    """List the images of the validation folder; None if there is no such folder.

    Args:
        places: set (labeled, unlabeled, validation, test) -> its folders.
        classes: names of the classes, in the order of their numbers.
        ignored: suffix or other reason -> number of files that are not read; this function adds to it.
    """
    parts = [files_by_class(source, "validation", where, classes, ignored) for where in places["validation"]]
    return parts[0] if parts else None


def read_test(
    source: Source, places: Mapping[str, Sequence[str]], classes: list[str], ignored: Counter[str]
) -> tuple[FileSplit | None, list[str]]:
    """List the images of the test folder, if its subfolders are classes.

    Args:
        places: set (labeled, unlabeled, validation, test) -> its folders.
        classes: names of the classes, in the order of their numbers.
        ignored: suffix or other reason -> number of files that are not read; this function adds to it.

    Returns:
        (images, lines). images: None if the test folder has no class folders. lines: lines of output that explain why
        there is no test accuracy; [] if there is one.

    Raises:
        SettingError: the test folder is also a folder of unlabeled images.
    """
    for where in places["test"]:
        folders = list(source.folders(where))
        if set(folders) & set(classes):
            if is_unlabeled(where, places):
                raise unlabeled_test_set(where)
            return files_by_class(source, "test", where, classes, ignored), []
        if is_unlabeled(where, places):
            return None, []
        count = len(scan_files(source, where, ignored))
        ignored[NO_CLASS] += count
        return None, [_why_no_test(where, count, folders, classes)] if count else []
    return None, []


def is_unlabeled(where: str, places: Mapping[str, Sequence[str]]) -> bool:
    """Whether the folder `where` is one of the folders of unlabeled images."""
    return PurePosixPath(where) in map(PurePosixPath, places["unlabeled"])


def unlabeled_test_set(where: str) -> SettingError:
    """Build the error about a test folder that is also a folder of unlabeled images."""
    allowed = "the images of this folder are the test set; add dataset.test=null to train on them"
    return SettingError("dataset.unlabeled", where, allowed)


def _why_no_test(where: str, count: int, folders: list[str], classes: list[str]) -> str:
    if not folders:
        reason = f"the {count} images in {shown(where)}/ are not in class folders; semisup predict classifies them"
    else:
        reason = (
            f"no folder in {shown(where)}/ ({some(folders, 3)}) is named as a class of the labeled images "
            f"({some(classes, 3)}); rename these folders, or use dataset.test=null"
        )
    return f"no test accuracy: {reason}"
