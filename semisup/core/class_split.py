"""Split the images of each class into test, validation, labeled and unlabeled sets, by seed.

Each class is shuffled by its own random stream, and its images are assigned to the sets in that order. So a run with 4
labels per class uses a subset of the labels of a run with 10, and adding a class moves no image of the other classes.

The labeled and the unlabeled set can have a long tail: class c gets n_c = n_0 * imbalance^(-c / (K - 1)) images,
rounded down; class 0 is the most frequent. A negative imbalance of the unlabeled set reverses its order: class K - 1 is
the most frequent. References: DARP (arXiv:2007.08844) and CReST (arXiv:2102.09559), which call
the ratio gamma.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from semisup.core.folds import check_folds, hold_out_fold, second_validation_set
from semisup.core.rng import numpy_generator
from semisup.errors import SettingError, check_range

Index = NDArray[numpy.int64]

ROUNDING = 1e-9
"""Added before rounding down, against rounding errors of powers: 1500 * 100^-1 must be 15 on every machine."""


@dataclass(frozen=True)
class SplitFractions:
    """Settings that determine the sizes of the labeled, unlabeled, validation and test sets.

    test_share, validation_share: fractions of each class; their sum is in [0, 0.9]; `validation_share` 0 = no
        validation set
    labels_per_class: labeled images of the most frequent class, at least 1; null = all images that remain
    imbalance, imbalance_unlabeled: images of the most frequent class divided by those of the least frequent class, in
        the labeled and in the unlabeled set, >= 1; 1 = the data are not changed. Above 1, the most frequent labeled
        class has `labels_per_class` images. If that is null, and in the unlabeled set, the long tail is the largest
        that every class has enough images for. `imbalance_unlabeled` may also be <= -1, which reverses the order of
        the classes in the unlabeled set
    validation_per_class: validation images of each class, at least 1. The remaining images of `validation_share` are
        not used, so that all other sets stay the same; null = all images of `validation_share`
    folds, fold: divide the labeled images into `folds` parts and hold out part `fold` for validation
        (`core/folds.py`); null = no folds

    Raises:
        SettingError: a setting is out of range; the message names its key, without the group.
    """

    test_share: float
    validation_share: float
    labels_per_class: int | None
    imbalance: float
    imbalance_unlabeled: float
    validation_per_class: int | None
    folds: int | None
    fold: int | None

    def __post_init__(self) -> None:
        check_range("labels_per_class", self.labels_per_class, 1)
        check_range("test_share", self.test_share, 0, 1)
        check_range("validation_share", self.validation_share, 0, 1)
        check_range("validation_share", self.validation_share + self.test_share, 0, 0.9)
        check_range("imbalance", self.imbalance, 1)
        check_imbalance("imbalance_unlabeled", self.imbalance_unlabeled)
        check_range("validation_per_class", self.validation_per_class, 1)
        check_folds(self.folds, self.fold)
        if self.folds is not None and self.validation_share > 0:
            raise second_validation_set(self.folds, "validation_share", self.validation_share, "0")
        if self.validation_share == 0 and self.validation_per_class is not None:
            raise SettingError(
                "validation_per_class",
                self.validation_per_class,
                "must be null with dataset.validation_share=0, which leaves no validation image",
            )


def split_by_class(targets: Index, classes: Sequence[str], seed: int, fractions: SplitFractions) -> dict[str, Index]:
    """Split the images of each class into labeled, unlabeled, validation and test sets.

    Args:
        targets: (n,) in [0, K).
        classes: K names, for error messages.
        seed: seed of the split.
        fractions: sizes of the sets.

    Returns:
        name of the set -> ascending indices into `targets`; the sets are disjoint.

    Raises:
        SettingError: a class has too few images.
    """
    tests, validations, rests = [], [], []
    for number, name in enumerate(classes):
        order = shuffled_by_class(targets, number, seed)
        test = _share("test_share", fractions.test_share, name, len(order))
        validation = _share("validation_share", fractions.validation_share, name, len(order))
        tests.append(order[:test])
        validations.append(take_validation(order[test : test + validation], name, fractions.validation_per_class))
        rests.append(order[test + validation :])
    labels = labeled_counts([len(rest) for rest in rests], classes, fractions.labels_per_class, fractions.imbalance)
    labeled = [rest[:count] for rest, count in zip(rests, labels, strict=True)]
    left = [rest[count:] for rest, count in zip(rests, labels, strict=True)]
    if fractions.folds is not None and fractions.fold is not None:
        held_out = hold_out_fold(labeled, classes, fractions.folds, fractions.fold)
        validations = [images[rows] for images, rows in zip(labeled, held_out, strict=True)]
        labeled = [numpy.delete(images, rows) for images, rows in zip(labeled, held_out, strict=True)]
    unlabeled = unlabeled_counts([len(rest) for rest in left], fractions.imbalance_unlabeled)
    return {
        "labeled": _joined(labeled),
        "unlabeled": _joined([rest[:count] for rest, count in zip(left, unlabeled, strict=True)]),
        "validation": _joined(validations),
        "test": _joined(tests),
    }


def shuffled_by_class(targets: Index, number: int, seed: int) -> Index:
    """Shuffle the indices of the images of one class.

    The images are assigned to the sets in this order.
    """
    return numpy_generator(seed, "split", number).permutation(numpy.flatnonzero(targets == number))


def take_validation(order: Index, name: str, validation_per_class: int | None) -> Index:
    """Return the first `validation_per_class` validation images of a class, or all if that is None.

    Args:
        order: the validation images of the class, in the order of `shuffled_by_class`, so that a smaller
            `validation_per_class` selects a subset of a larger one.
        name: name of the class, for the error message.

    Raises:
        SettingError: the class has fewer than `validation_per_class` validation images.
    """
    if validation_per_class is not None and len(order) < validation_per_class:
        raise SettingError(
            "dataset.validation_per_class",
            validation_per_class,
            f"class {name} has only {len(order)} validation images; use a smaller number or null",
        )
    return order[:validation_per_class]


def labeled_counts(
    available: Sequence[int], classes: Sequence[str], labels_per_class: int | None, imbalance: float
) -> list[int]:
    """Compute the number of labeled images of each class.

    Args:
        available: images of each class that are left for training.

    Raises:
        SettingError: a class has fewer images than it needs, or would have no labeled image.
    """
    if labels_per_class is None:
        counts = unlabeled_counts(available, imbalance)
    else:
        counts = long_tail(labels_per_class, imbalance, len(available))
    for name, count, images in zip(classes, counts, available, strict=True):
        if count > images:
            raise SettingError(
                "dataset.labels_per_class",
                labels_per_class,
                f"class {name} has only {images} images for training; use a smaller number",
            )
        if count == 0 and imbalance > 1:
            raise SettingError(
                "dataset.imbalance",
                imbalance,
                f"leaves class {name} without labeled images; use a larger dataset.labels_per_class or a "
                "smaller dataset.imbalance",
            )
        if count == 0:
            raise SettingError(
                "dataset.labels_per_class",
                labels_per_class,
                f"class {name} has no images for training; add images of this class, or remove it",
            )
    return counts


def check_imbalance(key: str, imbalance: float) -> None:
    """Raise SettingError unless the imbalance of the unlabeled set is at least 1, or at most -1 (reversed)."""
    if not (math.isfinite(imbalance) and abs(imbalance) >= 1):
        allowed = "must be at least 1 (images of the first class per image of the last one), or at most -1 (reversed)"
        raise SettingError(key, imbalance, allowed)


def unlabeled_counts(available: Sequence[int], imbalance: float) -> list[int]:
    """Compute the number of unlabeled images of each class.

    With an imbalance of 1 all are used; otherwise the largest long tail that every class has enough images for. With a
    negative imbalance, the last class is the most frequent one.
    """
    if imbalance < 0:
        return unlabeled_counts(available[::-1], -imbalance)[::-1]
    if imbalance == 1:
        return list(available)
    tail = [imbalance ** (c / (len(available) - 1)) for c in range(len(available))]
    head = min(int(images * factor + ROUNDING) for images, factor in zip(available, tail, strict=True))
    return long_tail(head, imbalance, len(available))


def long_tail(head: int, imbalance: float, num_classes: int) -> list[int]:
    """Compute the number of images of each class c in a long tail.

    n_c = head * imbalance^(-c / (K - 1)), rounded down.
    """
    return [int(head * imbalance ** (-c / (num_classes - 1)) + ROUNDING) for c in range(num_classes)]


def _share(key: str, share: float, name: str, count: int) -> int:
    """Round `share` of `count` images to a whole number.

    A positive share that rounds to 0 is a SettingError.
    """
    number = round(share * count)
    if share > 0 and number == 0:
        raise SettingError(
            f"dataset.{key}",
            share,
            f"class {name} has only {count} images, and this share of them is less than one image; use a larger share",
        )
    return number


def _joined(parts: Sequence[Index]) -> Index:
    return numpy.sort(numpy.concatenate(parts)).astype(numpy.int64)
