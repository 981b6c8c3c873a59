"""Split the images of each class at random into test, validation, labeled and unlabeled sets.

The images of each class are shuffled, and then assigned to the sets in this order. The order depends only on the seed
and the class, so the labeled images of a run with 4 labels per class are a subset of those of a run with 10.

The labeled and the unlabeled set can have a long tail (DARP, arXiv:2007.08844; CReST, arXiv:2102.09559): class c of K
classes gets n_c = n_0 * imbalance^(-c / (K - 1)) images, rounded down. With a negative imbalance, which only the
unlabeled set can have, the order of the classes is reversed.
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

    test_share, validation_share: fraction of the images of each class; the sum is at most 0.9; 0 = no such set
    labels_per_class: number of labeled images of the most frequent class, at least 1; null = as many as possible after
        the test and the validation set are removed
    imbalance: labeled images of the most frequent class divided by those of the least frequent class, at least 1; 1 =
        no long tail
    imbalance_unlabeled: the same for the unlabeled set; a value of at most -1 reverses the order of the classes
    validation_per_class: number of images of each class to keep from those selected by `validation_share`; the others
        are not used at all. null = keep all
    folds, fold: divide the labeled images into `folds` parts, and use the part with the index `fold` (from 0) for
        validation; null = no folds

    Raises:
        SettingError: a setting is out of range.
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
    """Return the indices of the images of one class in random order.

    Args:
        targets: (n,) int64 in [0, K), the classes of all images.
        number: index of the class, in [0, K).
        seed: seed of the split.
    """
    return numpy_generator(seed, "split", number).permutation(numpy.flatnonzero(targets == number))


def take_validation(order: Index, name: str, validation_per_class: int | None) -> Index:
    """Return the first `validation_per_class` validation images of a class; all of them if it is None.

    Args:
        order: indices of the validation images of the class, in random order.
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
        available: number of images of each class that are in neither the test nor the validation set.
        classes: names of the classes, for error messages.
        labels_per_class: number of labeled images of the most frequent class; None = as many as possible.
        imbalance: ratio of the most frequent to the least frequent class, at least 1.

    Raises:
        SettingError: a class has too few available images, or would have no labeled image.
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
    """Raise SettingError unless the imbalance of the unlabeled set is valid: at least 1, or at most -1.

    Args:
        key: key of the setting, for the message.
        imbalance: images of the first class divided by images of the last one; negative = in the reversed order.
    """
    if not (math.isfinite(imbalance) and abs(imbalance) >= 1):
        allowed = "must be at least 1 (images of the first class per image of the last one), or at most -1 (reversed)"
        raise SettingError(key, imbalance, allowed)


def unlabeled_counts(available: Sequence[int], imbalance: float) -> list[int]:
    """Compute the number of unlabeled images of each class, in a long tail as large as the available images allow.

    Args:
        available: number of available images of each class.
        imbalance: images of the first class divided by images of the last class; 1 = use all images. A negative value
            reverses the order: with -10, the last class has 10 times as many images as the first one.
    """
    if imbalance < 0:
        return unlabeled_counts(available[::-1], -imbalance)[::-1]
    if imbalance == 1:
        return list(available)
    tail = [imbalance ** (c / (len(available) - 1)) for c in range(len(available))]
    head = min(int(images * factor + ROUNDING) for images, factor in zip(available, tail, strict=True))
    return long_tail(head, imbalance, len(available))


def long_tail(head: int, imbalance: float, num_classes: int) -> list[int]:
    """Compute the number of images n_c of each of K classes in a long tail.

    n_c = head * imbalance^(-c / (K - 1)), rounded down.

    Args:
        head: number of images of class 0.
        imbalance: n_0 / n_(K - 1), at least 1.
        num_classes: K.
    """
    return [int(head * imbalance ** (-c / (num_classes - 1)) + ROUNDING) for c in range(num_classes)]


def _share(key: str, share: float, name: str, count: int) -> int:
    """Round the fraction `share` of `count` images to a whole number.

    Raises:
        SettingError: `share` is positive, but the result would be 0. The message names `key` and the class `name`.
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
