"""A data set of the user's own images, in folders, tables or archives.

A layout (`_layouts.py`) lists the files of each set; this module then chooses the labeled, validation, test and
unlabeled images among them.
"""

import operator
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy
from numpy.typing import NDArray

from semisup.core.added_setting import absent_values, added
from semisup.core.class_split import check_imbalance, labeled_counts, shuffled_by_class, take_validation
from semisup.core.folds import check_folds, hold_out_fold, second_validation_set
from semisup.dataset._class_folders import note_beside
from semisup.dataset._drawn_sets import describe_drawn, draw_sets, joined, without
from semisup.dataset._file_index import FileIndex, FileSplit
from semisup.dataset._folder_settings import Folders, check_pattern, folder_names, inside_root
from semisup.dataset._image_files import ImageFiles
from semisup.dataset._layouts import AUTO, LAYOUTS, find_layout
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._only_classes import ClassNames, class_names, keep_classes
from semisup.dataset._open_source import below_top_folder, open_folder, open_source, table_folder
from semisup.dataset._protocol import DatasetInfo
from semisup.dataset._roles import DIAGNOSTICS, FOLD, NO_EFFECT, PATH, SPLIT_SEED, WHEN_SET
from semisup.dataset._table_columns import CLASS, FILE, SPLIT
from semisup.dataset._truth import read_hidden_classes
from semisup.dataset._unlabeled_imbalance import select_long_tail
from semisup.errors import SettingError, check_choice, check_range
from semisup.images.archive_members import in_storage_order
from semisup.images.decode_settings import DecodeSettings
from semisup.images.ignored_files import OUTPUT_FOLDER
from semisup.images.scan import ImageFile, shown
from semisup.text import escape


@dataclass(frozen=True)
class Folder(ImageFiles):
    """Settings of a data set of the user's own images: the keys of `conf/dataset/folder.yaml`."""

    root: str = field(metadata=PATH)
    layout: str = field(metadata=added("auto"))
    size: int
    resize: str
    labeled: str
    unlabeled: Folders
    validation: str | None
    test: str | None
    class_pattern: str = field(metadata=added("(?P<class>[^_]+)_.*"))
    truth: str | None = field(metadata=DIAGNOSTICS)
    truth_sha256: str | None = field(metadata=WHEN_SET)
    file_column: str | None = field(metadata=WHEN_SET)
    class_column: str | None = field(metadata=WHEN_SET)
    split_column: str | None = field(metadata=WHEN_SET)
    image_folder: str | None = field(metadata=WHEN_SET)
    labels_per_class: int | None
    validation_share: float = field(metadata=added(0.2))
    test_share: float = field(metadata=added(0.0))
    validation_per_class: int | None
    folds: int | None = field(metadata=WHEN_SET)
    fold: int | None = field(metadata=FOLD)
    split_seed: int = field(metadata=SPLIT_SEED)
    imbalance: float
    imbalance_unlabeled: float = field(metadata=added(1.0))
    only_classes: ClassNames = field(metadata=WHEN_SET)
    hflip: bool = field(metadata=NO_EFFECT)
    follow_symlinks: bool
    draft: bool
    background: int
    max_pixels: int

    def __post_init__(self) -> None:
        check_choice("layout", self.layout, [AUTO, *LAYOUTS])
        object.__setattr__(self, "unlabeled", folder_names("unlabeled", self.unlabeled))
        check_pattern("class_pattern", self.class_pattern)
        check_range("validation_share", self.validation_share, 0, 0.9)
        check_range("test_share", self.test_share, 0, 0.9)
        if (both := self.validation_share + self.test_share) > 0.9:
            allowed = f"dataset.validation_share + dataset.test_share is {both:g}; it must be at most 0.9"
            raise SettingError("test_share", self.test_share, allowed)
        check_range("labels_per_class", self.labels_per_class, 1)
        check_range("validation_per_class", self.validation_per_class, 1)
        check_folds(self.folds, self.fold)
        if self.validation_per_class is not None and (self.folds is not None or self.validation is None):
            allowed = "must be null without a folder of validation images (dataset.folds, or dataset.validation=null)"
            raise SettingError("validation_per_class", self.validation_per_class, allowed)
        check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        check_range("imbalance", self.imbalance, 1)
        check_imbalance("imbalance_unlabeled", self.imbalance_unlabeled)
        object.__setattr__(self, "only_classes", class_names(self.only_classes))
        super().__post_init__()

    def decode_settings(self) -> DecodeSettings:
        return DecodeSettings(self.size, self.resize, self.draft, self.background, self.max_pixels)

    def scanned_folders(self) -> Mapping[str, Path]:
        root, names = Path(self.root).expanduser(), self._set_names()
        source = open_folder(root, follow_symlinks=self.follow_symlinks)
        if source is None:
            return {}
        folders: dict[str, Path] = {}
        for key, places in find_layout(source, names, self.layout).scanned(source, names).items():
            for number, where in enumerate(places):
                folders[f"dataset.{key}[{number}]" if len(places) > 1 else f"dataset.{key}"] = source.root / where
        return folders

    def inspect(self) -> DatasetInfo:
        root, names = Path(self.root).expanduser(), self._set_names()
        cache = Path(self.cache).expanduser() if self.cache else None
        source = below_top_folder(open_source(root, follow_symlinks=self.follow_symlinks, cache=cache), names)
        listing = find_layout(source, names, self.layout).read(source, names)
        return self._divide(listing, root)

    def _set_names(self) -> SetNames:
        unlabeled = (self.unlabeled,) if isinstance(self.unlabeled, str) else self.unlabeled
        return SetNames(
            inside_root("labeled", self.labeled),
            None if unlabeled is None else tuple(inside_root("unlabeled", each) for each in unlabeled),
            None if self.validation is None else inside_root("validation", self.validation),
            None if self.test is None else inside_root("test", self.test),
            self.class_pattern,
            has_own_pattern=self.class_pattern != absent_values(Folder)["class_pattern"],
            columns={role: getattr(self, f"{role}_column") for role in (FILE, CLASS, SPLIT)},
            image_folder=inside_root("image_folder", self.image_folder) if self.image_folder else None,
            max_bad_fraction=self.max_bad_fraction,
            has_folds=self.folds is not None,
        )

    def _divide(self, listing: Listing, root: Path) -> DatasetInfo:
        """Choose the images of each split from the files that the layout listed.

        Args:
            listing: the files of each set.
            root: value of `dataset.root`.

        Raises:
            SettingError: a setting does not fit the files; for example, folds are set although there is a validation
                set.
        """
        classes, ignored, files = listing.classes, listing.ignored, listing.labeled
        validation_share, test_share = self._shares(listing)
        drawn = draw_sets(self._orders(files, classes), classes, validation_share, test_share)
        labeled, held_out, rest = self._choose_labeled(files, drawn.rest, classes)
        validation_files = listing.validation or FileSplit([], [])
        if validation_share:
            named = zip(drawn.validation, classes, strict=True)
            chosen = [take_validation(*each, self.validation_per_class) for each in named]
            validation = files.rows(joined(chosen))
        else:
            validation = held_out if self.folds is not None else self._choose_validation(validation_files, classes)
        test = files.rows(joined(drawn.test)) if test_share else listing.test or FileSplit([], [])
        unlabeled = without(listing.unlabeled, [rest, held_out, files.rows(joined([*drawn.validation, *drawn.test]))])
        kept = keep_classes(classes, self.only_classes)
        others = kept.other_files(labeled)
        files_left = unlabeled + rest.files + others.files
        hidden = kept.renumber(self._hidden_classes(listing, unlabeled, root) + rest.targets).tolist() + others.targets
        rows = select_long_tail(hidden, kept.names, self.imbalance_unlabeled, self.split_seed)
        chosen_files = FileSplit(files_left, hidden).rows(rows)
        parts = {
            "labeled": kept.files(labeled),
            "unlabeled": chosen_files.hidden(),
            "validation": kept.files(validation),
            "test": kept.files(test),
        }
        if outputs := ignored[OUTPUT_FOLDER]:
            message = f"dataset.root={shown(root)}: {outputs} folder(s) of semisup's own output in it are not data"
            warnings.warn(f"{message}; move them elsewhere", stacklevel=3)
        lists = {split: part.files for split, part in parts.items()}
        lists |= {"labeled": files.files, "unlabeled": listing.unlabeled, "validation": validation_files.files}
        lists |= {"test": listing.test.files if listing.test else []}
        lists = {name: in_storage_order(files) for name, files in lists.items()}
        counts = {split: len(part.files) for split, part in parts.items()}
        notes = [*listing.notes, *note_beside(ignored), *describe_drawn(drawn, validation_share, test_share)]
        index = FileIndex(parts, chosen_files.targets, lists, ignored)
        return DatasetInfo(kept.names, 3, self.size, counts, index, tuple(notes))

    def _hidden_classes(self, listing: Listing, unlabeled: list[ImageFile], root: Path) -> list[int]:
        """Return the index of the true class of each file, from the table `truth` or the layout; -1 = unknown."""
        if self.truth is not None:
            names = self._set_names()
            return read_hidden_classes(
                table_folder(root), self.truth, names.columns, names.image_folder, unlabeled, listing.classes
            )
        if listing.hidden is None:
            return [-1] * len(unlabeled)
        known = {file.name: number for file, number in zip(listing.unlabeled, listing.hidden, strict=True)}
        return [known.get(file.name, -1) for file in unlabeled]

    def _shares(self, listing: Listing) -> tuple[float, float]:
        """Return the fractions of the labeled images that are chosen at random for validation and for test.

        The fraction for validation is 0 if there is a validation set, if `folds` is set, or if `validation` is null.
        The fraction for test is `test_share`.

        Raises:
            SettingError: there is a validation set and `folds` is set, or there is a test set and `test_share` is
                positive.
        """
        if self.folds is not None and listing.validation is not None:
            raise second_validation_set(self.folds, "validation", self.validation, "null").within("dataset")
        if self.test_share and listing.test is not None:
            allowed = f"is for data without a test set, and dataset.test={escape(self.test)} gives one; type"
            allowed += " dataset.test=null to leave it unused, or dataset.test_share=0"
            raise SettingError("dataset.test_share", self.test_share, allowed)
        draws_validation = listing.validation is None and self.validation is not None and self.folds is None
        return self.validation_share if draws_validation else 0, self.test_share

    def _choose_labeled(
        self, files: FileSplit, orders: list[NDArray[numpy.int64]], classes: list[str]
    ) -> tuple[FileSplit, FileSplit, FileSplit]:
        """Divide the images with a class into labeled images, images of the held-out fold, and remaining images.

        The remaining images are those that `labels_per_class` and `imbalance` do not select.

        Args:
            files: all images with a class.
            orders: for each class, the indices in `files` of its images in random order.
            classes: names of the classes, in the order of their numbers.

        Returns:
            labeled images, held-out images (none without `folds`), and remaining images.
        """
        counts = labeled_counts([len(order) for order in orders], classes, self.labels_per_class, self.imbalance)
        chosen = [order[:count] for order, count in zip(orders, counts, strict=True)]
        held_out: list[int] = []
        if self.folds is not None and self.fold is not None:
            positions = hold_out_fold(chosen, classes, self.folds, self.fold)
            held_out = joined(list(map(operator.getitem, chosen, positions)))
        labeled = sorted(set(joined(chosen)) - set(held_out))
        rest = sorted(set(joined(orders)) - set(labeled) - set(held_out))
        return files.rows(labeled), files.rows(held_out), files.rows(rest)

    def _choose_validation(self, files: FileSplit, classes: list[str]) -> FileSplit:
        """Select `validation_per_class` validation images of each class; all if it is null."""
        if self.validation_per_class is None:
            return files
        orders = zip(self._orders(files, classes), classes, strict=True)
        chosen = [take_validation(*each, self.validation_per_class) for each in orders]
        return files.rows(joined(chosen))

    def _orders(self, files: FileSplit, classes: list[str]) -> list[NDArray[numpy.int64]]:
        """Return, for each class, the indices of its files in random order."""
        targets = numpy.array(files.targets, dtype=numpy.int64)
        return [shuffled_by_class(targets, number, self.split_seed) for number in range(len(classes))]
