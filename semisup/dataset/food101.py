"""Food-101: 101,000 photographs of 101 dishes, at most 512 pixels a side; 750 a class to train, 250 to test.

The training part was not cleaned: some of its labels are wrong.

Source: L. Bossard, M. Guillaumin, L. Van Gool, "Food-101 - Mining Discriminative Components with Random Forests" (ECCV
2014).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy

from semisup.core.class_split import SplitFractions, split_by_class
from semisup.core.types import SPLITS
from semisup.dataset._image_files import FileIndex, FileSplit, check, read_files
from semisup.dataset._protocol import Data, DatasetInfo
from semisup.dataset._torchvision_files import part_of
from semisup.dataset._torchvision_readers import open_reader
from semisup.errors import check_range
from semisup.images.cache import ProgressCallback
from semisup.images.decode_settings import DecodeSettings

FILES = ("food-101/meta/train.json", "food-101/meta/test.json", "food-101/images")


@dataclass(frozen=True)
class Food101:
    """`root`: the folder that holds `food-101/`; `size` in [1, 4096] pixels; `labels_per_class` >= 1 or null for all;
    `validation_share`: of the training part, in (0, 0.9]; `imbalance` and `imbalance_unlabeled` >= 1;
    `max_bad_fraction` in [0, 1] of each split; `workers` >= 1 or null for one a core;
    `memory_gb` >= 0 or null."""

    root: str
    download: bool
    size: int
    resize: str
    labels_per_class: int | None
    validation_share: float
    split_seed: int
    imbalance: float
    imbalance_unlabeled: float
    hflip: bool
    max_bad_fraction: float
    on_duplicate: str
    draft: bool
    workers: int | None
    cache: str | None
    memory_gb: float | None

    def __post_init__(self) -> None:
        check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        check(self)
        self._portions()

    def _portions(self) -> SplitFractions:
        return SplitFractions(0, self.validation_share, self.labels_per_class, self.imbalance, self.imbalance_unlabeled)

    def recipe(self) -> DecodeSettings:
        return DecodeSettings(self.size, self.resize, self.draft, background=0, max_pixels=50_000_000)

    def survey(self) -> DatasetInfo:
        train, classes = self._part("train")
        test, _ = self._part("test")
        rows = split_by_class(numpy.array(train.targets), classes, self.split_seed, self._portions())
        parts = {split: train.rows(rows[split].tolist()) for split in SPLITS} | {"test": test}
        hidden = parts["unlabeled"].targets
        parts["unlabeled"] = parts["unlabeled"].hidden()
        found = FileIndex(parts, hidden, {"train": train.files, "test": test.files}, {})
        return DatasetInfo(classes, 3, self.size, {split: len(parts[split].files) for split in SPLITS}, found)

    def _part(self, split: str) -> tuple[FileSplit, tuple[str, ...]]:
        """Its files, and the names of the classes."""
        root = Path(self.root).expanduser()
        reader = open_reader("Food101", FILES, root, self.download, ("split", split))
        return part_of(root, zip(reader._image_files, reader._labels, strict=True)), tuple(reader.classes)

    def read(self, info: DatasetInfo, watch: ProgressCallback) -> Data:
        return read_files(self, info.classes, info.found, watch)
