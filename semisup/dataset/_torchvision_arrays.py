"""Base class of data sets that torchvision reads as one array of images.

The official test images are the test split. The official training images are divided at random into validation,
labeled and unlabeled images.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy
import torch
from PIL import Image
from torch import Tensor

from semisup.core.class_split import Index, split_by_class
from semisup.core.types import SPLITS, Images
from semisup.dataset._only_classes import keep_classes
from semisup.dataset._protocol import Data, DatasetInfo
from semisup.dataset._roles import NO_EFFECT
from semisup.dataset._split_settings import SplitSettings
from semisup.dataset._torchvision_readers import ReaderSpec, open_reader, read_labels
from semisup.errors import check_choice
from semisup.images.cache import ProgressCallback
from semisup.images.decode import Pixels
from semisup.images.decode_settings import DecodeSettings
from semisup.images.duplicate_report import report_duplicates, to_report
from semisup.images.duplicates import IGNORE, ON_DUPLICATE, DuplicateImage, equal_only

CHUNK = 1024
"""Number of images that are copied, hashed and resized at once."""


class _Piece(NamedTuple):
    """Images of one split that come from one official part of the data set (training, test or unlabeled images).

    split: name of the split
    rows: indices of the images in the official part
    targets: class numbers of the images; -1 = unknown
    """

    split: str
    rows: Index
    targets: Index


@dataclass(frozen=True)
class TorchvisionArrays(SplitSettings):
    """Settings of a data set that torchvision reads as one array of images of the same size; abstract."""

    on_duplicate: str = field(metadata=NO_EFFECT)

    source: ClassVar[ReaderSpec]

    def __post_init__(self) -> None:
        check_choice("on_duplicate", self.on_duplicate, ON_DUPLICATE)
        self.decode_settings()
        self.check_split()

    def decode_settings(self) -> DecodeSettings:
        """Return the settings by which `semisup predict` decodes image files; transparent pixels become black."""
        return DecodeSettings(self.size, resize="stretch", draft=False, background=0, max_pixels=50_000_000)

    def inspect(self) -> DatasetInfo:
        source = self.source
        labels = read_labels(source, Path(self.root).expanduser(), self.download)
        rows = split_by_class(labels.train, labels.classes, self.split_seed, self.fractions())
        kept = keep_classes(labels.classes, self.only_classes)
        rows, train = kept.assign(rows, labels.train), kept.renumber(labels.train)
        tests = numpy.flatnonzero(kept.is_kept(labels.test))
        hidden = numpy.full(labels.own_unlabeled, -1, dtype=numpy.int64)
        pieces = {
            "train": [_Piece(split, rows[split], train[rows[split]]) for split in SPLITS[:3]],
            "own_unlabeled": [_Piece("unlabeled", numpy.arange(len(hidden)), hidden)],
            "test": [_Piece("test", tests, kept.renumber(labels.test)[tests])],
        }
        counts = dict.fromkeys(SPLITS, 0)
        for piece in (piece for part in pieces.values() for piece in part):
            counts[piece.split] += len(piece.rows)
        return DatasetInfo(kept.names, source.channels, self.size, counts, pieces)

    def read(self, info: DatasetInfo, watch: ProgressCallback) -> Data:
        source, root = self.source, Path(self.root).expanduser()
        arguments = {"train": source.train, "test": source.test}
        if source.own_unlabeled:
            arguments["own_unlabeled"] = source.own_unlabeled[0]
        loader = _ArrayLoader(info, watch, self.on_duplicate)
        for part, argument in arguments.items():
            reader = open_reader(source.reader, source.files, root, self.download, argument)
            loader.add(part, source.planes(reader))
        return loader.data()


class _ArrayLoader:
    """Builder of a data set from its official parts (such as training and test images), added one after another."""

    def __init__(self, info: DatasetInfo, watch: ProgressCallback, on_duplicate: str) -> None:
        shape = (info.channels, info.size, info.size)
        self.info, self.watch, self.on_duplicate = info, watch, on_duplicate
        self.by_digest: dict[bytes, list[DuplicateImage]] = defaultdict(list)  # digest of the original pixels -> images
        self.pixels = {split: torch.empty(count, *shape, dtype=torch.uint8) for split, count in info.counts.items()}
        self.targets: dict[str, list[int]] = {split: [] for split in SPLITS}
        self.paths: dict[str, list[str]] = {split: [] for split in SPLITS}
        self.digest = hashlib.sha256(repr(info.classes).encode())

    def add(self, part: str, planes: Pixels) -> None:
        """Copy the images of one official part of the data set to the splits to which they are assigned.

        Args:
            part: name of the part: train, test, or own_unlabeled (images that are published without classes).
            planes: (n, C, s, s) uint8, the images of the part in their original size.
        """
        for split, rows, targets in self.info.index[part]:
            self.digest.update(repr((part, split, planes.shape[1:], rows.tolist(), targets.tolist())).encode())
            starts = range(0, len(rows), CHUNK)
            for start in self.watch(starts, f"reading {split}", len(starts)):
                original = numpy.ascontiguousarray(planes[rows[start : start + CHUNK]])
                self.digest.update(original.data)
                first = len(self.paths[split])
                self.pixels[split][first : first + len(original)] = _resized(original, self.info.size)
                names = [f"{part}/{number:06d}" for number in rows[start : start + CHUNK]]
                self.paths[split] += names
                if self.on_duplicate != IGNORE:
                    self._compare(split, names, targets[start : start + CHUNK].tolist(), original)
            self.targets[split] += targets.tolist()

    def _compare(self, split: str, names: list[str], targets: list[int], original: Pixels) -> None:
        for name, target, image in zip(names, targets, original, strict=True):
            member = DuplicateImage(split, name, -1 if split == "unlabeled" else target)
            self.by_digest[hashlib.blake2b(image.data, digest_size=16).digest()].append(member)

    def _report(self) -> dict[str, Any]:
        """Warn about images with equal pixels, or raise DataError; near duplicates are not searched for.

        Returns:
            the part of data_report.json about duplicates; {} with on_duplicate=ignore.
        """
        if self.on_duplicate == IGNORE:
            return {}
        duplicates = equal_only(group for group in self.by_digest.values() if len(group) > 1)
        report_duplicates(duplicates, self.info.classes, self.on_duplicate)
        return {"duplicates": to_report(duplicates, self.info.classes)}

    def data(self) -> Data:
        report = self._report()
        targets = {split: torch.tensor(self.targets[split], dtype=torch.int64) for split in SPLITS}
        hidden = targets["unlabeled"]
        targets["unlabeled"] = torch.full_like(hidden, -1)
        images: dict[str, Any] = {s: Images(self.pixels[s], targets[s], self.paths[s]) for s in SPLITS}
        fingerprint = self.digest.hexdigest()
        return Data(**images, hidden_targets=hidden, classes=self.info.classes, fingerprint=fingerprint, report=report)


def _resized(images: Pixels, size: int) -> Tensor:
    """Resize images from (n, C, s, s) to (n, C, size, size) with Pillow, as image files are resized."""
    if images.shape[2:] == (size, size):
        return torch.from_numpy(images)
    planes = [
        Image.fromarray(plane).resize((size, size), Image.Resampling.BILINEAR)
        for plane in images.reshape(-1, *images.shape[2:])
    ]
    return torch.from_numpy(numpy.stack([numpy.asarray(plane) for plane in planes])).view(*images.shape[:2], size, size)
