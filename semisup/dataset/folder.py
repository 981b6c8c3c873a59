"""Folders of images, in the layout of Food-11:

    training/labeled/<class>/...     training/unlabeled/...     validation/<class>/...     testing/<class>/...

The classes are the folders of the labeled training images, and of nothing else. What folders below the
unlabeled ones are called is ignored. A test folder without class folders has no known classes and is not
read: `semisup predict` classifies it.
"""

import csv
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy

from semisup.core.class_split import labeled_counts, shuffled_by_class
from semisup.dataset._image_files import FileIndex, FileSplit, check, read_files
from semisup.dataset._protocol import Data, DatasetInfo
from semisup.errors import DataError, SettingError, check_range, closest_match
from semisup.images.cache import ProgressCallback
from semisup.images.decode_settings import DecodeSettings
from semisup.images.scan import ImageFile, class_folders, scan, shown


@dataclass(frozen=True)
class Folder:
    """What conf/dataset/folder.yaml says of each key. `root` must exist; `size` in [1, 4096] pixels; `labels_per_class`
    >= 1 or null for all; `imbalance` >= 1; `max_bad_fraction` in [0, 1] of each split; `workers` >= 1 or null for one a
    core; `memory_gb` >= 0 or null."""

    root: str
    size: int
    resize: str
    labeled: str
    unlabeled: str | None
    validation: str
    test: str | None
    truth: str | None
    labels_per_class: int | None
    split_seed: int
    imbalance: float
    hflip: bool
    max_bad_fraction: float
    on_duplicate: str
    follow_symlinks: bool
    draft: bool
    background: int
    max_pixels: int
    workers: int | None
    cache: str | None
    memory_gb: float | None

    def __post_init__(self) -> None:
        check_range("labels_per_class", self.labels_per_class, 1)
        check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        check_range("imbalance", self.imbalance, 1)
        check(self)

    def recipe(self) -> DecodeSettings:
        return DecodeSettings(self.size, self.resize, self.draft, self.background, self.max_pixels)

    def survey(self) -> DatasetInfo:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            near = closest_match(root.name, [each.name for each in _folders(root.parent)])
            raise SettingError("dataset.root", self.root, "there is no such folder", near and str(root.parent / near))
        ignored: Counter[str] = Counter()
        classes = self._classes(root)
        named = self._by_class(root, "labeled", self.labeled, classes, ignored)
        labeled, rest = self._labeled(named, classes)
        unlabeled = self._unlabeled(root, ignored)
        parts = {
            "labeled": labeled,
            "unlabeled": FileSplit(unlabeled + rest.files, [-1] * (len(unlabeled) + len(rest.files))),
            "validation": self._by_class(root, "validation", self.validation, classes, ignored),
            "test": self._test(root, classes, ignored),
        }
        hidden = self._hidden(root, unlabeled, classes) + rest.targets
        pools = {split: part.files for split, part in parts.items()} | {"labeled": named.files, "unlabeled": unlabeled}
        counts = {split: len(part.files) for split, part in parts.items()}
        return DatasetInfo(tuple(classes), 3, self.size, counts, FileIndex(parts, hidden, pools, ignored))

    def _classes(self, root: Path) -> list[str]:
        folder = root / self.labeled
        if not folder.is_dir():
            raise DataError(f"dataset.labeled={self.labeled}: {_no_folder(root, self.labeled)}")
        classes = list(class_folders(folder, follow_symlinks=self.follow_symlinks))
        if len(classes) < 2:
            raise DataError(f"{shown(folder)}: {len(classes)} class folder(s); there must be at least 2")
        for duplicates in _case_duplicates(classes):
            warnings.warn(f"{shown(folder)}: classes that differ in nothing but case: {duplicates}", stacklevel=2)
        return classes

    def _labeled(self, named: FileSplit, classes: list[str]) -> tuple[FileSplit, FileSplit]:
        """The labeled images, and those whose labels `labels_per_class` and `imbalance` take away."""
        targets = numpy.array(named.targets, dtype=numpy.int64)
        orders = [shuffled_by_class(targets, number, self.split_seed) for number in range(len(classes))]
        counts = labeled_counts([len(order) for order in orders], classes, self.labels_per_class, self.imbalance)
        chosen = {row for order, count in zip(orders, counts, strict=True) for row in order[:count].tolist()}
        rows = range(len(named.files))
        return named.rows([row for row in rows if row in chosen]), named.rows(
            [row for row in rows if row not in chosen]
        )

    def _by_class(self, root: Path, split: str, where: str, classes: list[str], ignored: Counter[str]) -> FileSplit:
        """The images of one split with class folders; the class numbers are those of the training folders."""
        folder = root / where
        if not folder.is_dir():
            raise DataError(f"dataset.{split}={where}: {_no_folder(root, where)}")
        found = class_folders(folder, follow_symlinks=self.follow_symlinks)
        strangers = sorted(set(found) - set(classes))
        if strangers:
            near = closest_match(strangers[0], classes)
            raise DataError(
                f"{shown(folder)}: classes that the labeled training images do not have: {', '.join(strangers[:5])}"
                + (f" (did you mean {near}?)" if near else "")
            )
        part = FileSplit([], [])
        for number, name in enumerate(classes):
            files = list(self._scan(root, found[name], ignored)) if name in found else []
            if not files and split == "labeled":
                raise DataError(f"{shown(found[name])}: no image of class {name}")
            if not files:
                warnings.warn(f"{shown(folder)}: no image of class {name}", stacklevel=2)
            part.files.extend(files)
            part.targets.extend([number] * len(files))
        if not part.files:
            raise DataError(f"{shown(folder)}: no images")
        return part

    def _unlabeled(self, root: Path, ignored: Counter[str]) -> list[ImageFile]:
        if self.unlabeled is None:
            return []
        folder = root / self.unlabeled
        if not folder.is_dir():
            others = [each.name for each in _folders(folder.parent) if each != root / self.labeled]
            near = closest_match(folder.name, others)
            allowed = f"there is no folder {shown(folder)}; null, with method=supervised, where nothing is unlabeled"
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
        found = scan(root, folder, follow_symlinks=self.follow_symlinks)
        ignored.update(found.ignored)
        return found.files

    def _hidden(self, root: Path, files: list[ImageFile], classes: list[str]) -> list[int]:
        """Class numbers of the unlabeled files from `truth`, by name or number of the class; -1 where it is silent."""
        if self.truth is None:
            return [-1] * len(files)
        path = root / self.truth
        try:
            with open(path, newline="", encoding="utf-8") as file:
                table = {row["file"]: row["class"] for row in csv.DictReader(file)}
        except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"dataset.truth={self.truth}: {path} must be a CSV with columns file,class ({error})"
            ) from None
        if files and not any(file.name in table for file in files):
            allowed = f"none of its files is unlabeled; one is called {files[0].name}, from dataset.root on"
            raise DataError(f"dataset.truth={self.truth}: {allowed}")
        numbers = {str(number): number for number in range(len(classes))} | {name: n for n, name in enumerate(classes)}
        return [numbers.get(table.get(file.name, ""), -1) for file in files]

    def read(self, info: DatasetInfo, watch: ProgressCallback) -> Data:
        return read_files(self, info.classes, info.found, watch)


def _case_duplicates(classes: Iterable[str]) -> list[str]:
    """Names that are the same in lower case, as `Apple, apple`."""
    groups = defaultdict(list)
    for name in classes:
        groups[name.casefold()].append(name)
    return [", ".join(group) for group in groups.values() if len(group) > 1]


def _no_folder(root: Path, where: str) -> str:
    """What is missing, what it would hold, and what is there instead."""
    there = ", ".join(f"{shown(each.name)}/" for each in _folders(root)[:8])
    for above in (root.parent, *_folders(root)):
        if (above / where).is_dir():
            there += f" (did you mean dataset.root={shown(above)}?)"
            break
    return f"there is no folder {shown(root / where)}, with a folder a class; dataset.root holds {there or 'no folder'}"


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(each for each in parent.iterdir() if each.is_dir())
    except OSError:
        return []
