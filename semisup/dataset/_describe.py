"""Describe in one line how the files of a data set were read, and which files were not read."""

from collections.abc import Collection, Mapping, Sequence

from semisup.dataset._source import Source
from semisup.images.scan import shown
from semisup.text import counted, listed, printable


def describe(
    source: Source,
    layout: str,
    places: Mapping[str, Sequence[str]],
    reads: Collection[str] = (),
    unread: Sequence[str] = (),
) -> str:
    """Describe in one line how the files were read: the folders of each set, and what was not read.

    Args:
        source: the files of the data set.
        layout: description of the layout, such as "class folders".
        places: set (labeled, unlabeled, validation, test) -> its folders.
        reads: may contain "folders" (all folders in the root are read) and "images" (all images in the root are read).
        unread: further folders that are not read.
    """
    sets = [f"{key} images in {_folders(folders)}" for key, folders in places.items() if folders]
    line = f"{source.shown('.')}: read as {layout}: {', '.join(sets)}"
    folders = [*([] if "folders" in reads else _unread_folders(source, places)), *unread]
    left = [_folders(folders[:5])] if folders else []
    left += [f"{len(folders) - 5} more folders"] if len(folders) > 5 else []
    images = 0 if "images" in reads else len(source.scan(".", recursive=False).files)
    left += [f"{counted(images, 'image')} beside the folders"] if images else []
    return line + (f"; not read: {', '.join(left)}" if left else "")


def some(classes: Sequence[str], most: int = 11) -> str:
    """Format the first `most` class names for a message, such as `cat, dog, ...`."""
    names = [printable(name, 40) for name in classes[:most]]
    return ", ".join(names) + (", ..." if len(classes) > most else "")


def _unread_folders(source: Source, places: Mapping[str, Sequence[str]]) -> list[str]:
    tops = {each.partition("/")[0] for folders in places.values() for each in folders}
    return [each for each in source.subfolders(".") if each not in tops and not each.startswith(".")]


def _folders(folders: Sequence[str]) -> str:
    names = ["the root" if each == "." else f"{shown(each)}/" for each in folders]
    return listed(names, "and")
