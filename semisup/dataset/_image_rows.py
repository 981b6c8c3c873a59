"""Divide the images of a table or a WebDataset into labeled, unlabeled, validation and test images."""

import warnings
from array import array
from collections import Counter
from collections.abc import Callable

from semisup.dataset._file_index import FileSplit
from semisup.dataset._listing import Listing, SetNames
from semisup.dataset._split_words import LABELED, TEST, UNLABELED, VALIDATION
from semisup.errors import DataError, closest_match
from semisup.images.ignored_files import with_ignored
from semisup.images.scan import ImageFile
from semisup.text import counted

REPEATED = "repeated row"
"""Reason for ignoring a row with the same image, class and split as an earlier row."""


class ImageRows:
    """The images of a data set, in any order, with the class and the split of each.

    classes: class of each image; "" = no class
    splits: split of each image, a name of SPLITS
    origins: for each image, an integer that identifies its row or sample; `describe` converts it to text

    Args:
        root: path of the data set, for messages.
        describe: function from an origin to a text for messages, such as `train.csv: row 7`.
    """

    def __init__(self, root: str, describe: Callable[[int], str]) -> None:
        self.root, self.describe = root, describe
        self.files: list[ImageFile] = []
        self.classes: list[str] = []
        self.splits: list[str] = []
        self.origins = array("Q")
        self.ignored: Counter[str] = Counter()
        self.notes: list[str] = []
        self._positions: dict[str, int] = {}

    def add(self, file: ImageFile, class_: str, split: str, origin: int) -> None:
        """Add an image; a row that repeats an earlier one is only counted.

        Raises:
            DataError: an earlier row gives the same image another class or another split.
        """
        position = self._positions.setdefault(file.name, len(self.files))
        if position == len(self.files):
            self.files.append(file)
            self.classes.append(class_)
            self.splits.append(split)
            self.origins.append(origin)
            return
        for kind, before, now in (("class", self.classes[position], class_), ("split", self.splits[position], split)):
            if before != now:
                other = f"but {before or 'none'} in {self.describe(self.origins[position])}; correct one of them"
                raise DataError(f"{self.describe(origin)}: {file.name} has the {kind} {now or 'none'}, {other}")
        self.ignored[REPEATED] += 1

    def listing(self, description: str, names: SetNames, unit: str = "row") -> Listing:
        """Divide the images into labeled, unlabeled, validation and test images.

        Labeled images without a class become unlabeled images. If no test image has a class, all of them become
        unlabeled. Images of a split whose setting is null, such as `dataset.validation=null`, are not used at all.

        Args:
            description: how the files were read, for a line of output.
            names: settings of the data set, which say which splits are used.
            unit: "row" or "sample", for messages.

        Raises:
            DataError: there are fewer than two classes; or a validation or test image has no class, or has a class that
                no labeled image has.
        """
        self._positions.clear()
        self._drop_unused(names)
        description += self._resolve_splits(unit)
        self._drop_unused(names)
        used = {name for name, split in zip(self.classes, self.splits, strict=True) if split == LABELED}
        classes = sorted(used)
        if len(classes) < 2:
            only = f" ({classes[0]})" if classes else ""
            message = f"{self.root}: {len(classes)} class(es){only} among the labeled images; there must be at least 2"
            raise DataError(with_ignored(message, self.ignored))
        numbers = {name: number for number, name in enumerate(classes)}
        order = sorted(range(len(self.files)), key=lambda row: self.files[row].name)
        rows: dict[str, list[int]] = {split: [] for split in (LABELED, UNLABELED, VALIDATION, TEST)}
        for row in order:
            rows[self.splits[row]].append(row)
        parts = {split: self._part(split, rows[split], numbers) for split in (LABELED, VALIDATION, TEST)}
        return Listing(
            classes,
            parts[LABELED],
            [self.files[row] for row in rows[UNLABELED]],
            parts[VALIDATION] if rows[VALIDATION] else None,
            parts[TEST] if rows[TEST] else None,
            self.ignored,
            [description, *self.notes],
            [numbers.get(self.classes[row], -1) for row in rows[UNLABELED]],
        )

    def _drop_unused(self, names: SetNames) -> None:
        """Remove the images of the splits whose settings are null."""
        unused = {split for split in (UNLABELED, VALIDATION, TEST) if getattr(names, split) is None}
        if unused.isdisjoint(self.splits):
            return
        self.ignored.update(f"not used: dataset.{split}=null" for split in self.splits if split in unused)
        rows = [row for row, split in enumerate(self.splits) if split not in unused]
        self.files = [self.files[row] for row in rows]
        self.classes = [self.classes[row] for row in rows]
        self.splits = [self.splits[row] for row in rows]
        self.origins = array("Q", (self.origins[row] for row in rows))

    def _resolve_splits(self, unit: str) -> str:
        """Move labeled images without a class, and the test images if none has a class, to the unlabeled images.

        Returns:
            a text with the number of moved images, for a line of output; "" if there are none.

        Raises:
            DataError: a validation image has no class, or only some of the test images have one.
        """
        changed: Counter[str] = Counter()
        with_class = {split for split, name in zip(self.splits, self.classes, strict=True) if name}
        for row, (split, name) in enumerate(zip(self.splits, self.classes, strict=True)):
            if name or split == UNLABELED:
                continue
            if split == VALIDATION or (split == TEST and TEST in with_class):
                where = self.describe(self.origins[row])
                raise DataError(
                    f"{where}: {self.files[row].name} is a {split} image and has no class;"
                    " add it, or give the image the split unlabeled"
                )
            self.splits[row] = UNLABELED
            changed[split] += 1
        if not changed:
            return ""
        of_test = f" ({changed[TEST]} of the test set; dataset.test=null leaves them out)" if changed[TEST] else ""
        images = "is an unlabeled image" if changed.total() == 1 else "are unlabeled images"
        return f"; {counted(changed.total(), unit)} without a class {images}{of_test}"

    def _part(self, split: str, rows: list[int], numbers: dict[str, int]) -> FileSplit:
        """Return the images of a split, sorted by class and then by name.

        Args:
            rows: indices of the images of this split.
            numbers: class name -> class number.

        Raises:
            DataError: an image has a class that no labeled image has.
        """
        for row in rows:
            if self.classes[row] not in numbers:
                near = closest_match(self.classes[row], numbers)
                hint = f" (did you mean {near}?)" if near else ""
                where = self.describe(self.origins[row])
                raise DataError(
                    f"{where}: this {split} image has the class {self.classes[row]}{hint}, which no labeled image has"
                )
        by_class = sorted(rows, key=lambda row: numbers[self.classes[row]])
        present = {self.classes[row] for row in rows}
        for name in numbers if rows else ():
            if name not in present:
                warnings.warn(f"{self.root}: no {split} image of class {name}", stacklevel=3)
        return FileSplit([self.files[row] for row in by_class], [numbers[self.classes[row]] for row in by_class])
