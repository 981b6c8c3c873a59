"""Choose the layout of a data set: the rule that divides its files into labeled, unlabeled, validation and test images.

A new layout is a module `_layout_*.py` and one line in `LAYOUTS`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from semisup.dataset import (
    _layout_classes,
    _layout_file_names,
    _layout_folders,
    _layout_splits,
    _layout_table,
    _layout_webdataset,
)
from semisup.dataset._archive_names import refuse_collision, refuse_splits
from semisup.dataset._describe import some
from semisup.dataset._find_folders import class_candidates, is_word, train_folder
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._source import Source, last_name
from semisup.errors import DataError, SettingError
from semisup.images.scan import shown
from semisup.text import counted, listed, shell_quote

AUTO = "auto"
"""Value of `dataset.layout` with which the layout is detected."""


class Layout(NamedTuple):
    """A layout of the files of a data set: its functions and its description.

    expects: description of the folders and files, for messages
    matches: function that returns whether a data set has this layout; called if the user names no layout
    scanned: function that returns the folders in which every image is used, so that the program must not write images
        into them: key of a setting, such as `unlabeled` -> folders
    read: function that lists the files of each set
    """

    expects: str
    matches: Callable[[Source, SetNames], bool]
    scanned: Callable[[Source, SetNames], Mapping[str, list[str]]]
    read: Callable[[Source, SetNames], Listing]


def _layout(module: Any) -> Layout:
    return Layout(module.EXPECTS, module.matches, module.scanned, module.read)


LAYOUTS: Mapping[str, Layout] = {
    "folders": _layout(_layout_folders),
    "splits": _layout(_layout_splits),
    "classes": _layout(_layout_classes),
    "file_names": _layout(_layout_file_names),
    "table": _layout(_layout_table),
    "webdataset": _layout(_layout_webdataset),
}
"""Name of the layout -> its functions."""

_READ_ARCHIVE_NAMES = "webdataset"
"""The layout that reads the split from the names of archives, and in which members of two may have the same name."""

_EXPLICIT = ("webdataset", "table", "folders")
"""Layouts in which an image is labeled only if a table or a configured folder says so, or the name of its archive."""


def find_layout(source: Source, names: SetNames, setting: str) -> Layout:
    """Return the layout that `dataset.layout` names; for `auto`, the layout that matches the files.

    With `auto`, the layout is `table` if the root is a table, and `folders` if the folder that `dataset.labeled` names
    has subfolders. Otherwise the other layouts are tried.

    Args:
        setting: value of `dataset.layout`.

    Raises:
        SettingError: several layouts match.
        DataError: no layout matches, or several archives cannot be read with this layout (see `_archive_names.py`).
    """
    by_archive = LAYOUTS[_READ_ARCHIVE_NAMES]
    if setting != _READ_ARCHIVE_NAMES and not (setting == AUTO and by_archive.matches(source, names)):
        refuse_collision(source)
    layout = _matching_layout(source, names, setting)
    if all(layout is not LAYOUTS[name] for name in _EXPLICIT):
        refuse_splits(source)
    return layout


def _matching_layout(source: Source, names: SetNames, setting: str) -> Layout:
    if setting != AUTO:
        return LAYOUTS[setting]
    if source.is_table:
        return LAYOUTS["table"]
    if LAYOUTS["folders"].matches(source, names):
        return LAYOUTS["folders"]
    nearby = [root for root, other in source.other_roots() if LAYOUTS["folders"].matches(other, names)]
    if nearby or not (source.is_dir(names.labeled) or is_word("labeled", last_name(names.labeled))):
        return LAYOUTS["folders"]  # which says what is missing
    matches = [name for name, layout in LAYOUTS.items() if name != "folders" and layout.matches(source, names)]
    if "webdataset" in matches:
        return LAYOUTS["webdataset"]
    if "table" in matches:
        matches = [name for name in matches if name != "file_names"]  # a table says more than names of files
    if len(matches) == 1:
        return LAYOUTS[matches[0]]
    if not matches and source.is_dir(names.labeled):
        return LAYOUTS["folders"]
    if not matches:
        raise _one_class(source) or _no_layout(source, names)
    ways = listed([f"{name} ({LAYOUTS[name].expects})" for name in matches], "and")
    allowed = f"{source.shown('.')} matches {len(matches)} layouts, {ways}; type dataset.layout={matches[0]} or"
    raise SettingError("dataset.layout", AUTO, f"{allowed} dataset.layout={matches[1]}")


ADVICE: Mapping[str, str] = {
    "folders": "for other names, type dataset.labeled=FOLDER (with one folder per class) dataset.unlabeled=FOLDER",
    "splits": "for folders of sets, name them train/, val/ and test/, with one folder per class in each",
    "classes": "for class folders, move the images of each class to a folder in the root, with its name",
    "table": "for a table, type its path, as dataset.root=FOLDER/labels.csv",
    "file_names": "for classes in file names, type their pattern, as dataset.class_pattern='(?P<class>[^_]+)_.*'",
}
"""Layout -> what to do for it, in the error for files of no known layout."""


def _advice(source: Source, layout: str) -> str:
    """Return advice for the user on how to use a layout; for `table`, with the path of a table in the root, if any."""
    tables = source.tables()
    if layout != "table" or not tables or not Path(source.shown(".")).is_dir():
        return ADVICE[layout]
    return f"for a table, type its path, as dataset.root={shell_quote(Path(source.shown(tables[0])))}"


def _no_layout(source: Source, names: SetNames) -> DataError:
    """Build the error for files that match no layout: it describes the files and the most similar layouts."""
    folders = [f"{shown(last_name(each))}/" for each in source.subfolders(".")]
    train = train_folder(source, names)
    flat = [source.scan(each, recursive=False).files for each in (".", *([train] if train else []))]
    there = [*folders[:8], *([f"{len(folders) - 8} more folders"] if len(folders) > 8 else [])]
    there += [f"{len(files)} images such as {files[0].name}" for files in flat if files]
    missing = f"there is no folder {source.shown(names.labeled)}, with one folder per class"
    contents = f"dataset.root contains {', '.join(there) or 'no folder and no image'}"
    hint = next((f" (did you mean dataset.root={root}?)" for root in _other_roots(source, names)), "")
    closest = ["file_names", "splits" if train else "classes"] if any(flat) else ["splits", "folders"]
    closest = ["table", *closest] if source.tables() else closest
    advice = "; ".join(_advice(source, each) for each in closest)
    if classes := _layout_file_names.possible_classes(source, names):
        guess = (
            f"if {some(classes, 5)} are the classes, type dataset.layout=file_names; if another part of the names is"
        )
        advice = f"{guess}, type its pattern, as dataset.class_pattern='[^_]+_(?P<class>[^_]+)_.*'"
    return DataError(f"dataset.labeled={names.labeled}: {missing}; {contents}{hint}; {advice}")


def _one_class(source: Source) -> DataError | None:
    """Build the error about a root with a single class folder; None if the root has other contents."""
    folders = class_candidates(source, ".")
    images = source.scan(folders[0], recursive=False).files if len(folders) == 1 else ()
    if not images or source.scan(".", recursive=False).files or source.tables():
        return None
    name = shown(last_name(folders[0]))
    allowed = (
        "there must be at least 2 classes; put the images that are not of this class into a folder beside it, such"
    )
    contents = f"has one class folder, {name}/ with {counted(len(images), 'image')}"
    return DataError(f"{source.shown('.')}: {contents}; {allowed} as {source.shown('other')}/")


def _other_roots(source: Source, names: SetNames) -> list[str]:
    """List the folders that the user may have meant as the root of the data set.

    These are the subfolders and the parent folder of the root, if their files match the layout `splits`. A root without
    subfolders may be the folder of a single class; then its parent is also listed if it contains only class folders.
    """
    roots = []
    is_flat = not source.subfolders(".")
    for root, other in source.other_roots():
        try:
            if LAYOUTS["splits"].matches(other, names) or (is_flat and _has_only_classes(other)):
                roots.append(root)
        except (SettingError, DataError):
            continue
    return roots


def _has_only_classes(source: Source) -> bool:
    """Whether the root contains two or more folders that can be classes, and each of them has images."""
    folders = class_candidates(source, ".")
    return len(folders) >= 2 and all(source.scan(each, recursive=False).files for each in folders)
