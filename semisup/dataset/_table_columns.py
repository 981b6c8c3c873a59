"""Find the columns of a table that contain the image file, its class and its split.

Columns with usual names, such as `file`, `label` and `split`, are recognized. Other columns must be named by the
settings `dataset.file_column`, `dataset.class_column` and `dataset.split_column`.
"""

import re
from collections.abc import Mapping, Sequence

from semisup.errors import DataError, SettingError, closest_match
from semisup.text import escape, listed

FILE, CLASS, SPLIT = "file", "class", "split"

USUAL_NAMES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    FILE: (
        (
            *("file", "filename", "filepath", "path", "image", "imagefile", "imagefilename", "imagename", "imagepath"),
            *("img", "imgfile", "imgname", "imgpath", "photo", "picture", "relativepath"),
        ),
        ("imageid", "imgid", "id"),
    ),
    CLASS: (
        ("class", "classname", "label", "labelname", "target", "category", "categoryname"),
        ("classid", "labelid", "categoryid", "y"),
    ),
    SPLIT: (("split", "set", "subset", "partition", "datasplit", "dataset"),),
}
"""Content of a column -> its usual names, in lower case and without separators; the first group has precedence."""


class ColumnError(DataError):
    """Error about a column of a table that cannot be found.

    role: FILE, CLASS or SPLIT
    """

    def __init__(self, role: str, message: str) -> None:
        super().__init__(message)
        self.role = role


def find_columns(
    shown_path: str, header: Sequence[str], chosen: Mapping[str, str | None], required: Sequence[str]
) -> dict[str, int]:
    """Find the index of each column that is needed.

    Args:
        shown_path: path of the table, for messages.
        header: names of the columns.
        chosen: FILE, CLASS or SPLIT -> name of the column; None or missing = recognize the column by a usual name.
        required: the columns without which the table cannot be used.

    Returns:
        FILE, CLASS or SPLIT -> index of the column. Columns that are not required may be missing.

    Raises:
        SettingError: a column that `chosen` names does not exist.
        DataError: a required column is not recognized, or several columns are possible.
    """
    positions: dict[str, int] = {}
    for role in USUAL_NAMES:
        name = chosen.get(role)
        matches = _recognize(header, role) if name is None else _named(header, name)
        if name is not None and not matches:
            raise SettingError(
                f"dataset.{role}_column", name, f"{shown_path} has the columns {_names(header)}", _nearest(name, header)
            )
        if len(matches) > 1:
            options = listed(f"{_quoted(header[position])}" for position in matches)
            choice = f"choose one with dataset.{role}_column"
            message = f"{shown_path}: several columns can be the {role} of an image: {options}; {choice}"
            raise ColumnError(role, message)
        if matches:
            positions[role] = matches[0]
        elif role in required:
            usual = listed(USUAL_NAMES[role][0][:4])
            near = next(filter(None, (_nearest(each, header) for each in USUAL_NAMES[role][0])), None) or "NAME"
            raise ColumnError(
                role,
                f"{shown_path}: no column is named {usual}; the first row has {_names(header)}; "
                f"if one of these is the {role} of an image, type dataset.{role}_column={near}",
            )
    return positions


def _named(header: Sequence[str], name: str) -> list[int]:
    exact = [position for position, each in enumerate(header) if each == name]
    return exact or [position for position, each in enumerate(header) if _plain(each) == _plain(name) != ""]


def _recognize(header: Sequence[str], role: str) -> list[int]:
    plain = [_plain(name) for name in header]
    for group in USUAL_NAMES[role]:
        if matches := [position for position, name in enumerate(plain) if name in group]:
            return matches
    return []


def _plain(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", name).casefold()


def _nearest(name: str, header: Sequence[str]) -> str | None:
    by_plain = {_plain(each): each for each in header}
    near = closest_match(_plain(name), by_plain)
    return escape(by_plain[near]) if near else None


def _names(header: Sequence[str]) -> str:
    names = [_quoted(name) for name in header[:10]]
    return ", ".join(names) + (", ..." if len(header) > 10 else "")


def _quoted(name: str) -> str:
    return escape(name) if name else "(a column without a name)"
