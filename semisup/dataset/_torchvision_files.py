"""List the image files of data sets from torchvision."""

import os
from collections.abc import Iterable
from pathlib import Path

from semisup.dataset._file_index import FileSplit
from semisup.errors import DataError
from semisup.images.scan import ImageFile, image_name
from semisup.text import escape_name


def list_files(root: Path, samples: Iterable[tuple[Path, int]]) -> FileSplit:
    """Return the image files that torchvision lists, sorted by path, with their class numbers.

    Args:
        root: root of the data set; names of images are relative to it.
        samples: path and class number of each file.

    Raises:
        DataError: a listed file does not exist.
    """
    rows: list[tuple[ImageFile, int]] = []
    missing: list[str] = []
    for path, target in samples:
        try:
            status = os.stat(path)
        except OSError:
            missing.append(image_name(root, path))
            continue
        times = status.st_mtime_ns, status.st_ctime_ns
        rows.append((ImageFile(os.fspath(path), image_name(root, path), status.st_size, *times, status.st_ino), target))
    if missing:
        listed = ", ".join(sorted(missing)[:5]) + (", ..." if len(missing) > 5 else "")
        fix = "restore them, or delete the folder of the data set and type dataset.download=true"
        raise DataError(f"dataset.root={escape_name(str(root))}: {len(missing)} image(s) are missing: {listed}; {fix}")
    rows.sort(key=lambda row: os.fsencode(row[0].path))
    return FileSplit([file for file, _ in rows], [target for _, target in rows])
