"""List of the files (members) and folders in one or several archives."""

import dataclasses
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from semisup.images.archive_members import ArchivedImage


@dataclass
class ArchiveListing:
    """The files in one or several archives.

    images: image files, sorted by name
    attached: name -> file that is not an image but can contain classes: a table (.csv, .tsv), or the class of a single
        image (.cls, .json)
    folders: paths of all folders
    ignored: (path of the folder, reason or suffix) -> number of files in this folder that are not read
    ignored_names: name of each file that is not read -> reason or suffix; empty if not requested
    collision: message that names two archives with a file of the same name; "" = there are none. If there are such
        archives, the name of each file in this listing begins with the file name of its archive
    """

    images: list[ArchivedImage] = field(default_factory=list)
    attached: dict[str, ArchivedImage] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)
    ignored_names: dict[str, str] = field(default_factory=dict)
    collision: str = ""


def sample_name(name: str) -> str:
    """Return the name that WebDataset gives to the sample of a file: the path up to the first dot in the file name."""
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.partition('.')[0]}"


def put_below(listing: ArchiveListing, folder: str) -> ArchiveListing:
    """Return the listing with `folder` and a slash before the path of each file."""
    moved = [dataclasses.replace(image, name=f"{folder}/{image.name}") for image in listing.images]
    attached = {
        f"{folder}/{name}": dataclasses.replace(each, name=f"{folder}/{name}")
        for name, each in listing.attached.items()
    }
    folders = {folder, *(f"{folder}/{each}" for each in listing.folders)}
    ignored = Counter(
        {(f"{folder}/{each}" if each else folder, reason): n for (each, reason), n in listing.ignored.items()}
    )
    return ArchiveListing(moved, attached, folders, ignored)


def images_inside(images: Sequence[ArchivedImage], folder: str) -> tuple[int, int]:
    """Return (start, end) so that `images[start:end]` are the images inside a folder; `images` is sorted by name."""
    begin = bisect_left(images, f"{folder}/", key=lambda image: image.name)
    return begin, bisect_left(images, f"{folder}0", begin, key=lambda image: image.name)  # "0" comes after "/"


def take_folder(listing: ArchiveListing, folder: str) -> ArchiveListing:
    """Return the listing of the files inside one folder, with paths relative to this folder."""
    prefix = f"{folder}/"
    length = len(prefix)
    start, end = images_inside(listing.images, folder)
    images = [dataclasses.replace(each, name=each.name[length:]) for each in listing.images[start:end]]
    attached = {
        name[length:]: dataclasses.replace(each, name=name[length:])
        for name, each in listing.attached.items()
        if name.startswith(prefix)
    }
    folders = {each[length:] for each in listing.folders if each.startswith(prefix)}
    ignored: Counter[tuple[str, str]] = Counter()
    for (each, reason), count in listing.ignored.items():
        if each == folder or each.startswith(prefix):
            ignored[each[length:], reason] += count
    return ArchiveListing(images, attached, folders, ignored)
