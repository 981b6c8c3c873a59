"""Check settings of `dataset=folder`: names of folders, and the pattern of classes in file names."""

import re
from pathlib import PurePosixPath
from typing import Any

from semisup.errors import SettingError

Folders = Any
"""Type of a setting that is one folder, a list of folders or null; OmegaConf has no such type."""


def folder_names(key: str, value: Any) -> str | tuple[str, ...] | None:
    """Check a setting that names one folder or several.

    Returns:
        one folder as text, several as a tuple; None for null.

    Raises:
        SettingError: the value is something else, or names a folder twice.
    """
    if value is None or isinstance(value, str):
        return value
    names = list(value) if isinstance(value, list | tuple) else []
    if not names or not all(isinstance(each, str) for each in names):
        raise SettingError(key, value, "must be a folder, a list of folders such as [unlabeled,more], or null")
    if len(set(names)) < len(names):
        raise SettingError(key, value, "names a folder twice")
    return names[0] if len(names) == 1 else tuple(names)


def check_pattern(key: str, pattern: str) -> None:
    """Raise SettingError unless `pattern` is a regular expression with a group named class."""
    example = "such as '(?P<class>[^_]+)_.*' for names like cat_12.jpg"
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise SettingError(key, pattern, f"must be a regular expression, {example} ({error})") from None
    if "class" not in groups:
        raise SettingError(key, pattern, f"must have a group named class, {example}")


def inside_root(key: str, folder: str) -> str:
    """Normalize the path of a folder in the root of the data set, such as `./train/` to `train`.

    Raises:
        SettingError: the path is absolute or leads out of the root with `..`.
    """
    # images outside the root would have names under which they can be read twice
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or folder.startswith("~"):
        allowed = "folders are relative to dataset.root and inside it; type a path below it, or another dataset.root"
        raise SettingError(f"dataset.{key}", folder, allowed)
    return path.as_posix()
