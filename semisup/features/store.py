"""A pack: a folder with the features of many images, computed with the same settings (recipe).

    <cache>/features/KEY/*.rows      files with rows (segment.py); KEY = digest of the recipe
    <cache>/features/KEY/lock        lock of the process that encodes

A row contains the features of one image, in all its views, and is found by the digest of the image. So runs and data
sets with the same images share the features.
"""

import contextlib
import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy

from semisup.features.recipe import PackRecipe
from semisup.features.segment import SUFFIX, Segment, checksum, read_segment, write_segment
from semisup.images.on_disk import PackedImages
from semisup.runtime.exclusive_files import try_lock
from semisup.runtime.temporary_files import remove_stale_temporary_files

LEAST_ROWS, SHARE, MOST_BYTES = 64, 16, 2**28
"""Size of a file: at least LEAST_ROWS rows and 1 / SHARE of the rows before it, but at most MOST_BYTES bytes.

So a process that is killed loses about a 16th of the work, and 10^7 rows are in about 500 files.
"""


class FeaturePack:
    """The features that are stored for one recipe (encoder, views, versions).

    Args:
        cache: cache folder, which contains the packs of all recipes; None = keep the features in memory.
        recipe: everything besides the images that determines the features.
    """

    def __init__(self, cache: Path | None, recipe: PackRecipe) -> None:
        self.recipe, self.key = recipe, recipe.key()
        self.shape = (recipe.views, recipe.encoder.dimension())
        self.folder = None if cache is None else cache / "features" / self.key
        self.segments: list[Segment] = []
        self.sources: list[Any] = []  # of each segment: (n * K, 2 D) uint8, on disk or in memory
        self.places: dict[bytes, tuple[int, int]] = {}  # digest of an image -> segment and row
        self.refresh()

    def __len__(self) -> int:
        return len(self.places)

    def refresh(self) -> None:
        """Read and verify the feature files that were written since the last call."""
        if self.folder is None:
            return
        known = {segment.path for segment in self.segments}
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.suffix == SUFFIX and path not in known)
        except OSError:
            return
        for path in paths:
            with contextlib.suppress(FileNotFoundError):  # removed by another process
                self._read(path)

    def _read(self, path: Path) -> None:
        views, features = self.shape
        segment = read_segment(path, views, features)
        if segment is None:
            warnings.warn(
                f"{path}: this file of the feature cache is damaged or belongs to another encoder; its images are "
                "encoded again",
                stacklevel=4,
            )
            path.unlink(missing_ok=True)
            return
        rows = PackedImages(path, (len(segment.digests) * views, 2 * features), segment.offset)
        self._append(segment, rows)

    def _append(self, segment: Segment, source: Any) -> None:
        number = len(self.segments)
        self.segments.append(segment)
        self.sources.append(source)
        for row, digest in enumerate(segment.digests):
            self.places.setdefault(digest, (number, row))

    def missing(self, digests: Sequence[bytes]) -> list[int]:
        """Return the indices of the images without stored features; of several equal images, only the first.

        Args:
            digests: digest of each image.
        """
        first: dict[bytes, int] = {}
        for position, digest in enumerate(digests):
            if digest not in self.places:
                first.setdefault(digest, position)
        return list(first.values())

    def rows_of_next_file(self) -> int:
        """Return the number of images whose features are written to the next file."""
        views, features = self.shape
        return max(1, min(max(LEAST_ROWS, len(self) // SHARE), MOST_BYTES // (2 * views * features)))

    def add(self, digests: list[bytes], rows: Any) -> None:
        """Store the features of n images; if the cache cannot be written, warn and keep them in memory.

        Args:
            digests: digest of the image of each row.
            rows: (n, K, D) float16, features.
        """
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._read(write_segment(self.folder, digests, rows))
                return
            except OSError as error:
                message = (
                    f"the feature cache cannot be written ({error}); the features stay in memory and are not stored"
                )
                warnings.warn(message, stacklevel=2)
                self.folder = None
        sums = numpy.frombuffer(b"".join(checksum(row) for row in rows), numpy.uint8).reshape(len(rows), -1)
        source = rows.reshape(-1, rows.shape[-1]).view(numpy.uint8)
        self._append(Segment(Path(), digests, sums, 0), source)

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Context manager that tries to lock the pack for writing.

        Yields:
            True if this process may encode, False if another process has locked the pack.
        """
        if self.folder is None:
            yield True
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = try_lock(self.folder / "lock")
        except OSError as error:
            warnings.warn(
                f"the feature cache cannot be written ({error}); the features stay in memory and are not stored",
                stacklevel=3,
            )
            self.folder = None
            yield True
            return
        if descriptor is None:
            yield False
            return
        try:
            remove_stale_temporary_files(self.folder)
            yield True
        finally:
            os.close(descriptor)

    def digest(self, digests: Sequence[bytes]) -> str:
        """Compute a sha256 digest of the stored features of these images, in this order.

        Args:
            digests: digest of each image; all must have stored features.
        """
        total = hashlib.sha256()
        for digest in digests:
            number, row = self.places[digest]
            total.update(self.segments[number].checksums[row].tobytes())
        return total.hexdigest()

    def locate(self, digests: Sequence[bytes]) -> tuple[Any, Any]:
        """Find the feature file and the row of each image.

        Args:
            digests: digest of each image; all must have stored features.

        Returns:
            (files, rows), each (n,) int64. files: index in `segments` of the file that contains the features of the
            image. rows: its row in this file.
        """
        found = numpy.array([self.places[digest] for digest in digests], numpy.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]
