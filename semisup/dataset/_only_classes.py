"""Select some classes of a data set (`dataset.only_classes`); images of other classes can only be unlabeled images.

Labeled images of the other classes become unlabeled images; for diagnostics, their true class is `other`, with the
class index K. Validation and test images of the other classes are not used.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from semisup.dataset._file_index import FileSplit
from semisup.errors import SettingError, closest_match

Index = NDArray[numpy.int64]

ClassNames = Any
"""Type of a setting that is a list of class names or null; a class 0 would be an error in OmegaConf's list of texts."""

OTHER = "other"
"""Name, in a table of true classes, of the class of an image that belongs to none of the K classes."""


class ClassSubset(NamedTuple):
    """The K classes of a data set that `dataset.only_classes` selects.

    names: K names, in the order of the data set
    numbers: lookup table of class indices: numbers[c] is the new index of class c of the data set, in [0, K) for a
        selected class and K for all others. The last entry is -1, so numbers[-1] = -1 (unknown class)
    """

    names: tuple[str, ...]
    numbers: Index

    def is_kept(self, targets: Sequence[int] | Index) -> NDArray[numpy.bool_]:
        """Return for n class numbers of the data set whether the class is selected or unknown, (n,) bool."""
        return self.renumber(targets) < len(self.names)

    def renumber(self, targets: Sequence[int] | Index) -> Index:
        """Convert n class numbers of the data set to numbers in [0, K]; K = another class. -1 (unknown) stays -1."""
        return self.numbers[numpy.asarray(targets, dtype=numpy.int64)]

    def assign(self, rows: Mapping[str, Index], targets: Index) -> dict[str, Index]:
        """Keep only images of the selected classes in the labeled, validation and test splits.

        Labeled images of other classes become unlabeled images; validation and test images of other classes are
        removed.

        Args:
            rows: split -> ascending indices into `targets`.
            targets: (n,) class numbers of the data set.

        Returns:
            split -> ascending indices into `targets`.
        """
        kept = {split: own[self.is_kept(targets[own])] for split, own in rows.items() if split != "unlabeled"}
        others = rows["labeled"][~self.is_kept(targets[rows["labeled"]])]
        return kept | {"unlabeled": numpy.sort(numpy.concatenate((rows["unlabeled"], others)))}

    def files(self, part: FileSplit) -> FileSplit:
        """Return the files of the K selected classes, with their class numbers in [0, K)."""
        rows = numpy.flatnonzero(self.is_kept(part.targets)).tolist()
        return FileSplit([part.files[row] for row in rows], self.renumber(part.targets)[rows].tolist())

    def other_files(self, part: FileSplit) -> FileSplit:
        """Return the files of the classes that are not selected, with the class number K."""
        rows = numpy.flatnonzero(~self.is_kept(part.targets)).tolist()
        return FileSplit([part.files[row] for row in rows], [len(self.names)] * len(rows))


def class_names(value: Any) -> tuple[str, ...] | None:
    """Check the value of the setting `only_classes`, and return it as a sorted tuple of names; None = all classes.

    Numbers are converted to text. Lists in different orders give the same tuple and so the same run id.

    Raises:
        SettingError: the value is not a list of two or more names, or a name is given twice.
    """
    if value is None:
        return None
    names = tuple(map(str, value)) if isinstance(value, list | tuple) else ()
    if len(names) < 2 or any(isinstance(each, list | dict | float | bool) for each in value):
        raise SettingError("only_classes", value, "must be a list of two or more classes, as [apple,banana], or null")
    if len(set(names)) < len(names):
        raise SettingError("only_classes", list(names), "names a class twice")
    return tuple(sorted(names))


def keep_classes(classes: Sequence[str], only: Sequence[str] | None) -> ClassSubset:
    """Select the classes that `dataset.only_classes` names; all classes if it is null.

    Args:
        classes: names of the classes of the data set, in the order of their numbers.
        only: value of the setting.

    Raises:
        SettingError: a name is not a class of the data set, or every class is named.
    """
    for name in only or ():
        if name not in classes:
            allowed = f"{name} is not a class of the data; its classes are {', '.join(classes)}"
            raise SettingError("dataset.only_classes", list(only or ()), allowed, closest_match(name, classes))
    if only is not None and len(only) == len(classes):
        allowed = "names every class, so that no unlabeled image is of another class; use dataset.only_classes=null"
        raise SettingError("dataset.only_classes", list(only), allowed)
    names = tuple(name for name in classes if only is None or name in only)
    numbers = [names.index(name) if name in names else len(names) for name in classes]
    return ClassSubset(names, numpy.array([*numbers, len(names), -1], dtype=numpy.int64))
