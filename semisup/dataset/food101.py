"""Food-101: 101,000 photographs of 101 dishes, at most 512 pixels a side; 750 per class to train, 250 to test.

Some labels of the training images are wrong.

Source: L. Bossard, M. Guillaumin, L. Van Gool, "Food-101 - Mining Discriminative Components with Random Forests" (ECCV
2014).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy

from semisup.core.class_split import split_by_class
from semisup.core.types import SPLITS
from semisup.dataset._file_index import FileIndex, FileSplit
from semisup.dataset._image_files import ImageFiles
from semisup.dataset._only_classes import keep_classes
from semisup.dataset._protocol import DatasetInfo
from semisup.dataset._split_settings import SplitSettings
from semisup.dataset._torchvision_files import list_files
from semisup.dataset._torchvision_readers import open_reader
from semisup.images.decode_settings import DecodeSettings

FILES = ("food-101/meta/train.json", "food-101/meta/test.json", "food-101/images")


@dataclass(frozen=True)
class Food101(SplitSettings, ImageFiles):
    """Settings of Food-101: the keys of `conf/dataset/food101.yaml`."""

    resize: str
    draft: bool

    def __post_init__(self) -> None:
        ImageFiles.__post_init__(self)
        self.check_split()

    def decode_settings(self) -> DecodeSettings:
        return DecodeSettings(self.size, self.resize, self.draft, background=0, max_pixels=50_000_000)

    def inspect(self) -> DatasetInfo:
        train, classes = self._part("train")
        test, _ = self._part("test")
        targets = numpy.array(train.targets)
        kept = keep_classes(classes, self.only_classes)
        rows = kept.assign(split_by_class(targets, classes, self.split_seed, self.fractions()), targets)
        train = FileSplit(train.files, kept.renumber(targets).tolist())
        parts = {split: train.rows(rows[split].tolist()) for split in SPLITS} | {"test": kept.files(test)}
        hidden = parts["unlabeled"].targets
        parts["unlabeled"] = parts["unlabeled"].hidden()
        index = FileIndex(parts, hidden, {"train": train.files, "test": test.files}, {})
        return DatasetInfo(kept.names, 3, self.size, {split: len(parts[split].files) for split in SPLITS}, index)

    def _part(self, name: str) -> tuple[FileSplit, tuple[str, ...]]:
        """List the official training or test images, and the class names.

        Args:
            name: "train" or "test".
        """
        root = Path(self.root).expanduser()
        reader = open_reader("Food101", FILES, root, self.download, ("split", name))
        return list_files(root, zip(reader._image_files, reader._labels, strict=True)), tuple(reader.classes)
