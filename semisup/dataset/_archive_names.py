"""Check that the names of several archives do not decide what their images are, except where the layout reads them.

Most layouts read the names of members only. Then a test archive would be merged into the labeled images, or the names
of archives would be taken for classes.
"""

from semisup.dataset._archive_source import ArchiveSource
from semisup.dataset._source import Source
from semisup.dataset._split_words import LABELED, split_of_name
from semisup.errors import DataError
from semisup.images.scan import shown
from semisup.text import listed


def refuse_collision(source: Source) -> None:
    """Refuse archives with members of the same name.

    Raises:
        DataError: two archives have a member of the same name.
    """
    if isinstance(source, ArchiveSource) and source.listing.collision:
        fix = "unpack them, give the files names of their own, or name one archive with dataset.root=ARCHIVE"
        raise DataError(f"{source.listing.collision}; {fix}")


def refuse_splits(source: Source) -> None:
    """Refuse archives whose names say different splits, unless their images are in folders that say the same.

    Raises:
        DataError: an archive such as test.zip is beside one such as train.zip, and has images outside a folder test/.
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
