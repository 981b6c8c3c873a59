"""Reject a data set of several archives (tar or zip files) that would be read in another way than the user expects.

For example, the images of `test.zip` beside `train.zip` would become labeled images.
"""

from semisup.dataset._archive_source import ArchiveSource
from semisup.dataset._source import Source
from semisup.dataset._split_words import LABELED, split_of_name
from semisup.errors import DataError
from semisup.images.scan import shown
from semisup.text import listed


def refuse_collision(source: Source) -> None:
    """Raise DataError if two archives of a data set contain files with the same path."""
    if isinstance(source, ArchiveSource) and source.listing.collision:
        fix = "unpack them, give the files names of their own, or name one archive with dataset.root=ARCHIVE"
        raise DataError(f"{source.listing.collision}; {fix}")


def refuse_splits(source: Source) -> None:
    """Reject archives that are named after different splits, such as train.zip and test.zip.

    An archive such as test.zip is accepted if all its images are in a folder named like its split, such as test/.

    Raises:
        DataError: the archives are rejected.
    """
    if not isinstance(source, ArchiveSource):
        return
    places = {
        (image.path, image.name.partition("/")[0] if "/" in image.name else "") for image in source.listing.images
    }
    names = {path: path.rpartition("/")[2] for path, _ in places}
    splits = {path: split_of_name(name) or LABELED for path, name in names.items()}
    if len(set(splits.values())) < 2:
        return
    for path, folder in sorted(places):
        if splits[path] != LABELED and split_of_name(folder) != splits[path]:
            name = shown(names[path])
            stem = name.rpartition(".")[0]
            others = listed(sorted(shown(names[each]) for each in names if each != path)[:3], "and")
            problem = f"{name} would be read as one folder with {others}, so its images would be labeled images"
            fix = f"unpack it, as the folder {stem}/ beside the others, or leave it out of dataset.root"
            raise DataError(f"{source.shown('.')}: {problem}; {fix}")
