"""A data set of images in your own folders; `_layouts.py` has the layouts that are read.

A layout lists the files of each set. What is decided here is the same for all layouts: which labeled images are used,
held out or treated as unlabeled.
"""

import operator
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy
from numpy.typing import NDArray

from semisup.core.class_split import labeled_counts, shuffled_by_class, take_validation
from semisup.core.folds import check_folds, hold_out_fold, second_validation_set
from semisup.dataset._file_index import FileIndex, FileSplit
from semisup.dataset._image_files import ImageFiles
from semisup.dataset._layouts import choose_layout
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._protocol import DatasetInfo
from semisup.dataset._roles import FOLD, NO_EFFECT, PATH, SPLIT_SEED, WHEN_SET
from semisup.dataset._source import FolderSource, open_source
from semisup.dataset._truth import read_hidden_classes
from semisup.errors import SettingError, check_range
from semisup.images.decode_settings import DecodeSettings
from semisup.images.scan import OUTPUT_FOLDER, shown


@dataclass(frozen=True)
class Folder(ImageFiles):
    """Settings of a data set of folders. Keys: `conf/dataset/folder.yaml`."""

    root: str = field(metadata=PATH)
    size: int
    resize: str
    labeled: str
    unlabeled: str | None
    validation: str | None
    test: str | None
    truth: str | None = field(metadata=PATH)
    labels_per_class: int | None
    validation_per_class: int | None
    folds: int | None = field(metadata=WHEN_SET)
    fold: int | None = field(metadata=FOLD)
    split_seed: int = field(metadata=SPLIT_SEED)
    imbalance: float
    hflip: bool = field(metadata=NO_EFFECT)
    follow_symlinks: bool
    draft: bool
    background: int
    max_pixels: int

    def __post_init__(self) -> None:
        check_range("labels_per_class", self.labels_per_class, 1)
        check_range("validation_per_class", self.validation_per_class, 1)
        check_folds(self.folds, self.fold)
        if self.validation_per_class is not None and (self.folds is not None or self.validation is None):
            allowed = "must be null without a folder of validation images (dataset.folds, or dataset.validation=null)"
            raise SettingError("validation_per_class", self.validation_per_class, allowed)
        check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        check_range("imbalance", self.imbalance, 1)
        super().__post_init__()

    def decode_settings(self) -> DecodeSettings:
        return DecodeSettings(self.size, self.resize, self.draft, self.background, self.max_pixels)

    def scanned_folders(self) -> Mapping[str, Path]:
        root, names = Path(self.root).expanduser(), self._set_names()
        source = FolderSource(root, self.follow_symlinks)
        scanned = choose_layout(source, names).scanned(source, names)
        return {f"dataset.{key}": root / where for key, folders in scanned.items() for where in folders}

    def inspect(self) -> DatasetInfo:
        root, names = Path(self.root).expanduser(), self._set_names()
        source = open_source(root, follow_symlinks=self.follow_symlinks)
        listing = choose_layout(source, names).read(source, names)
        return self._divide(listing, root)

    def _set_names(self) -> SetNames:
        return SetNames(self.labeled, self.unlabeled, self.validation, self.test, has_folds=self.folds is not None)

    def _divide(self, listing: Listing, root: Path) -> DatasetInfo:
        """Choose the images of each split from the files that the layout listed.

        Raises:
            SettingError: a setting of the split does not fit the files; for example, folds are set although there is a
                validation set.
        """
        classes, ignored = listing.classes, listing.ignored
        if self.folds is not None and listing.validation is not None:
            raise second_validation_set(self.folds, "validation", self.validation, "null").within("dataset")
        labeled, held_out, rest = self._choose_labeled(listing.labeled, classes)
        unlabeled, validation_files = listing.unlabeled, listing.validation or FileSplit([], [])
        parts = {
            "labeled": labeled,
            "unlabeled": FileSplit(unlabeled + rest.files, [-1] * (len(unlabeled) + len(rest.files))),
            "validation": held_out if self.folds is not None else self._choose_validation(validation_files, classes),
            "test": listing.test or FileSplit([], []),
        }
        if outputs := ignored[OUTPUT_FOLDER]:
            message = f"dataset.root={shown(root)}: {outputs} folder(s) of semisup's own output in it are not data"
            warnings.warn(f"{message}; move them elsewhere", stacklevel=3)
        hidden = read_hidden_classes(root, self.truth, unlabeled, classes) + rest.targets
        lists = {split: part.files for split, part in parts.items()}
        lists |= {"labeled": listing.labeled.files, "unlabeled": unlabeled, "validation": validation_files.files}
        counts = {split: len(part.files) for split, part in parts.items()}
        return DatasetInfo(tuple(classes), 3, self.size, counts, FileIndex(parts, hidden, lists, ignored))

    def _choose_labeled(self, files: FileSplit, classes: list[str]) -> tuple[FileSplit, FileSplit, FileSplit]:
        """Split the images of the labeled folder into labeled images, the held-out fold, and the rest.

        The rest are images beyond `labels_per_class` and `imbalance`; they become unlabeled.
        """
        orders = self._orders(files, classes)
        counts = labeled_counts([len(order) for order in orders], classes, self.labels_per_class, self.imbalance)
        chosen = [order[:count] for order, count in zip(orders, counts, strict=True)]
        held_out: list[int] = []
        if self.folds is not None and self.fold is not None:
            positions = hold_out_fold(chosen, classes, self.folds, self.fold)
            held_out = sorted(numpy.concatenate(list(map(operator.getitem, chosen, positions))).tolist())
        labeled = sorted(set(numpy.concatenate(chosen).tolist()) - set(held_out))
        rest = sorted(set(range(len(files.files))) - set(labeled) - set(held_out))
        return files.rows(labeled), files.rows(held_out), files.rows(rest)

    def _choose_validation(self, files: FileSplit, classes: list[str]) -> FileSplit:
        """Select `validation_per_class` validation images of each class; all if it is null."""
        if self.validation_per_class is None:
            return files
        orders = zip(self._orders(files, classes), classes, strict=True)
        chosen = [take_validation(*each, self.validation_per_class) for each in orders]
        return files.rows(numpy.sort(numpy.concatenate(chosen)).tolist())

    def _orders(self, files: FileSplit, classes: list[str]) -> list[NDArray[numpy.int64]]:
        """Return the positions of the files of each class, in the order in which they are assigned to sets."""
        targets = numpy.array(files.targets, dtype=numpy.int64)
        return [shuffled_by_class(targets, number, self.split_seed) for number in range(len(classes))]
