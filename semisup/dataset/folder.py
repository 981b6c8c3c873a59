"""A data set of folders of images, by default in the layout of Food-11:

    training/labeled/<class>/...     training/unlabeled/...     validation/<class>/...     testing/<class>/...

The classes are the subfolders of the folder of labeled images. The names of folders inside the folder of unlabeled
images are ignored. A test folder without class folders is not read, because the classes of its images are not known;
`semisup predict` can classify them.
"""

import operator
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy
from numpy.typing import NDArray

from semisup.core.class_split import labeled_counts, shuffled_by_class, take_validation
from semisup.core.folds import check_folds, hold_out_fold, second_validation_set
from semisup.dataset._file_index import FileIndex, FileSplit
from semisup.dataset._folder_layout import missing_folder, read_hidden_classes, subfolders
from semisup.dataset._image_files import ImageFiles
from semisup.dataset._protocol import DatasetInfo
from semisup.dataset._roles import FOLD, NO_EFFECT, PATH, SPLIT_SEED, WHEN_SET
from semisup.errors import DataError, SettingError, check_range, closest_match
from semisup.images.decode_settings import DecodeSettings
from semisup.images.scan import OUTPUT_FOLDER, ImageFile, class_folders, scan, shown, with_ignored


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
        root = Path(self.root).expanduser()
        folders = {key: getattr(self, key) for key in ("labeled", "unlabeled", "validation", "test")}
        return {f"dataset.{key}": root / folder for key, folder in folders.items() if folder is not None}

    def inspect(self) -> DatasetInfo:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            near = closest_match(root.name, [each.name for each in subfolders(root.parent)])
            raise SettingError("dataset.root", self.root, "there is no such folder", near and str(root.parent / near))
        ignored: Counter[str] = Counter()
        classes = self._classes(root)
        labeled_files = self._by_class(root, "labeled", self.labeled, classes, ignored)
        labeled, held_out, rest = self._choose_labeled(labeled_files, classes)
        unlabeled = self._unlabeled(root, ignored)
        validation_files = self._validation(root, classes, ignored)
        parts = {
            "labeled": labeled,
            "unlabeled": FileSplit(unlabeled + rest.files, [-1] * (len(unlabeled) + len(rest.files))),
            "validation": held_out if self.folds is not None else self._choose_validation(validation_files, classes),
            "test": self._test(root, classes, ignored),
        }
        if outputs := ignored[OUTPUT_FOLDER]:
            message = f"dataset.root={shown(root)}: {outputs} folder(s) of semisup's own output in it are not data"
            warnings.warn(f"{message}; move them elsewhere", stacklevel=2)
        hidden = read_hidden_classes(root, self.truth, unlabeled, classes) + rest.targets
        lists = {split: part.files for split, part in parts.items()}
        lists |= {"labeled": labeled_files.files, "unlabeled": unlabeled, "validation": validation_files.files}
        counts = {split: len(part.files) for split, part in parts.items()}
        return DatasetInfo(tuple(classes), 3, self.size, counts, FileIndex(parts, hidden, lists, ignored))

    def _classes(self, root: Path) -> list[str]:
        folder = root / self.labeled
        if not folder.is_dir():
            raise DataError(f"dataset.labeled={self.labeled}: {missing_folder(root, self.labeled)}")
        classes = list(class_folders(folder, follow_symlinks=self.follow_symlinks))
        if len(classes) < 2:
            raise DataError(f"{shown(folder)}: {len(classes)} class folder(s); there must be at least 2")
        for names in _equal_but_for_case(classes):
            warnings.warn(f"{shown(folder)}: classes that differ only in case: {names}", stacklevel=2)
        return classes

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

    def _validation(self, root: Path, classes: list[str], ignored: Counter[str]) -> FileSplit:
        """List the images of the validation folder; with folds there are none.

        Raises:
            SettingError: folds are set although there is a validation folder.
        """
        if self.validation is None or (self.folds is not None and not (root / self.validation).is_dir()):
            return FileSplit([], [])
        if self.folds is not None:
            raise second_validation_set(self.folds, "validation", self.validation, "null").within("dataset")
        return self._by_class(root, "validation", self.validation, classes, ignored)

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

    def _by_class(self, root: Path, split: str, where: str, classes: list[str], ignored: Counter[str]) -> FileSplit:
        """List the images of a split with class folders; a class has the same number as among the labeled images."""
        folder = root / where
        if not folder.is_dir():
            fix = "; dataset.folds=5 dataset.fold=0 holds out labeled images instead" if split == "validation" else ""
            raise DataError(f"dataset.{split}={where}: {missing_folder(root, where)}{fix}")
        folders = class_folders(folder, follow_symlinks=self.follow_symlinks)
        unknown = sorted(set(folders) - set(classes))
        if unknown:
            near = closest_match(unknown[0], classes)
            raise DataError(
                f"{shown(folder)}: classes that the labeled folder does not have: {', '.join(unknown[:5])}"
                + (f" (did you mean {near}?)" if near else "")
            )
        part, before_split = FileSplit([], []), ignored.copy()
        for number, name in enumerate(classes):
            before = ignored.copy()
            files = list(self._scan(root, folders[name], ignored)) if name in folders else []
            if not files and split == "labeled":
                raise DataError(with_ignored(f"{shown(folders[name])}: no image of class {name}", ignored - before))
            if not files:
                warnings.warn(f"{shown(folder)}: no image of class {name}", stacklevel=2)
            part.files.extend(files)
            part.targets.extend([number] * len(files))
        if not part.files:
            raise DataError(with_ignored(f"{shown(folder)}: holds no image files", ignored - before_split))
        return part

    def _unlabeled(self, root: Path, ignored: Counter[str]) -> list[ImageFile]:
        if self.unlabeled is None:
            return []
        folder = root / self.unlabeled
        if not folder.is_dir():
            others = [each.name for each in subfolders(folder.parent) if each != root / self.labeled]
            near = closest_match(folder.name, others)
            allowed = f"there is no folder {shown(folder)}; without unlabeled images use null and method=supervised"
            raise SettingError("dataset.unlabeled", self.unlabeled, allowed, near)
        return list(self._scan(root, folder, ignored))

    def _test(self, root: Path, classes: list[str], ignored: Counter[str]) -> FileSplit:
        folder = root / self.test if self.test else None
        if self.test is None or folder is None or not folder.is_dir():
            return FileSplit([], [])
        if set(class_folders(folder, follow_symlinks=self.follow_symlinks)) & set(classes):
            return self._by_class(root, "test", self.test, classes, ignored)
        ignored["test image of no known class"] += len(self._scan(root, folder, ignored))
        return FileSplit([], [])

    def _scan(self, root: Path, folder: Path, ignored: Counter[str]) -> tuple[ImageFile, ...]:
        result = scan(root, folder, follow_symlinks=self.follow_symlinks)
        ignored.update(result.ignored)
        ignored.update(result.suffixes)
        return result.files


def _equal_but_for_case(classes: Iterable[str]) -> list[str]:
    """Find groups of class names that differ only in case, such as `Apple, apple`."""
    groups = defaultdict(list)
    for name in classes:
        groups[name.casefold()].append(name)
    return [", ".join(group) for group in groups.values() if len(group) > 1]
