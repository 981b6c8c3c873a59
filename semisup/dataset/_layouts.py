"""The table of layouts: how the files of a root become labeled, unlabeled, validation and test images.

A new layout is a module `_layout_*.py` and one line in `LAYOUTS`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from semisup.dataset import _layout_folders
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._source import Source


class Layout(NamedTuple):
    """The functions of a layout.

    matches: whether the files of a source have this layout; called if the user names no layout
    scanned: key of the setting -> folders whose images are all used; the program must write no other images there
    read: list the files of each set
    """

    matches: Callable[[Source, SetNames], bool]
    scanned: Callable[[Source, SetNames], Mapping[str, list[str]]]
    read: Callable[[Source, SetNames], Listing]


LAYOUTS: Mapping[str, Layout] = {
    "folders": Layout(_layout_folders.matches, _layout_folders.scanned, _layout_folders.read),
}
"""Name of the layout -> its functions."""


def choose_layout(source: Source, names: SetNames) -> Layout:
    """Find the layout of the files; `folders` if none matches, whose errors name the folders that are missing."""
    return next((each for each in LAYOUTS.values() if each.matches(source, names)), LAYOUTS["folders"])
