"""Open the root of a data set: a folder, archives (or a folder inside one), or tables."""

import glob
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from semisup.dataset._archive_source import ArchiveSource
from semisup.dataset._find_folders import is_any_word
from semisup.dataset._listing import SetNames
from semisup.dataset._source import FolderSource, Source, list_subfolders
from semisup.errors import SettingError, closest_match
from semisup.images.archive import ARCHIVE_SUFFIXES, COMPRESSED_SUFFIXES, is_archive
from semisup.images.scan import is_hidden

MOST_PATHS = 100_000
"""Largest number of files that a pattern can name."""

_BRACES = re.compile(r"\{([^{}]*)\}")


def open_source(root: Path, *, follow_symlinks: bool, cache: Path | None = None) -> Source:
    """Open the root of a data set.

    Args:
        root: path of a folder, archive or table, a folder inside an archive, or a pattern such as `train-*.tar`.
        cache: folder in which the listings of archives are stored; None = no cache.

    Raises:
        SettingError: there is no such folder or file, or no file matches the pattern.
        DataError: an archive cannot be read, or has no such folder.
    """
    if root.is_dir():
        archives = _archives_in(root)
        return ArchiveSource.open(root, archives, cache=cache) if archives else FolderSource(root, follow_symlinks)
    if root.is_file():
        return _open_files(root, [root], follow_symlinks=follow_symlinks, cache=cache)
    for parent in root.parents:
        if parent.is_file() and is_archive(parent):
            return ArchiveSource.open(root, [parent], root.relative_to(parent).as_posix(), cache=cache)
    if re.search(r"[*?\[{]", str(root)):
        paths = sorted({Path(path) for each in _expand_braces(str(root)) for path in glob.glob(each)})
        if not paths:
            raise SettingError(
                "dataset.root", str(root), "no file matches this pattern; type the path of a folder, archive or table"
            )
        return _open_files(root, paths, follow_symlinks=follow_symlinks, cache=cache)
    near = closest_match(root.name, [Path(each).name for each in list_subfolders(root.parent)])
    raise SettingError("dataset.root", str(root), "there is no such folder", near and str(root.parent / near))


def below_top_folder(source: Source, names: SetNames) -> Source:
    """If a single folder contains all files of an archive, return a source with this folder as root.

    For example, the archive made by `zip -r photos.zip photos` is read like the folder `photos`. The source is returned
    unchanged if the settings name this folder, if it is named like a set of images (such as `train`), or if it contains
    neither folders nor tables.

    Args:
        names: the settings.
    """
    while isinstance(source, ArchiveSource) and (inner := source.only_folder()) is not None:
        given = (names.labeled, *(names.unlabeled or ()), names.validation, names.test, names.image_folder)
        if any(where is not None and source.is_dir(where) for where in given) or is_any_word(inner.root.name):
            break
        if not inner.subfolders(".") and not inner.tables():
            break
        source = inner
    return source


def open_folder(root: Path, *, follow_symlinks: bool) -> FolderSource | None:
    """Open the root of a data set if it is a folder of images; return None if it consists of archives or tables."""
    return None if not root.is_dir() or _archives_in(root) else FolderSource(root, follow_symlinks)


def table_folder(root: Path) -> Path:
    """Return the folder to which the setting `dataset.truth` is relative.

    It is the root if this is a folder; otherwise the folder that contains the root, such as an archive or a table.
    """
    return next((each for each in (root, *root.parents) if each.is_dir()), root)


def _open_files(root: Path, paths: list[Path], *, follow_symlinks: bool, cache: Path | None) -> Source:
    archives = [path for path in paths if is_archive(path)]
    if len(archives) == len(paths):
        return ArchiveSource.open(root, paths, cache=cache)
    if archives or len({path.parent for path in paths}) > 1:
        allowed = "must name archives (tar, zip), or tables (CSV, TSV, Parquet) in one folder"
        raise SettingError("dataset.root", str(root), allowed)
    return FolderSource(paths[0].parent, follow_symlinks, tuple(path.name for path in paths))


def _archives_in(folder: Path) -> list[Path]:
    """List the archives in a folder; [] if the folder also has subfolders, tables or images."""
    try:
        entries = sorted(each for each in folder.iterdir() if not is_hidden(each.name))
    except OSError:
        return []
    suffixes = (*ARCHIVE_SUFFIXES, *COMPRESSED_SUFFIXES)
    archives = [each for each in entries if each.name.lower().endswith(suffixes) and each.is_file()]
    if not archives or any(each.is_dir() for each in entries):
        return []
    source = FolderSource(folder, follow_symlinks=True)
    return [] if source.tables() or source.scan(".", recursive=False).files else archives


def _expand_braces(pattern: str) -> list[str]:
    """Expand `{a,b}` and `{000..010}` as a shell does.

    Raises:
        SettingError: the pattern names more than MOST_PATHS files.
    """
    names = list(islice(_expansions(pattern), MOST_PATHS + 1))
    if len(names) > MOST_PATHS:
        raise SettingError(
            "dataset.root", pattern, f"names more than {MOST_PATHS} files; use a shorter range, or a folder"
        )
    return names


def _expansions(pattern: str) -> Iterator[str]:
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", match.group(1))
    if numbers:
        first, last = numbers.groups()
        parts: Iterator[str] = (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
    else:
        parts = iter(match.group(1).split(","))
    for part in parts:
        yield from _expansions(pattern[: match.start()] + part + pattern[match.end() :])
