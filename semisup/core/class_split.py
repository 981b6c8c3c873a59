"""Who learns what: the images of each class are dealt out by seed to test, validation, labeled and unlabeled.

Each class is shuffled by a stream of its own and dealt from the top, so that the 4 labels a class of one run are among
the 10 of another, and a class more or less moves no image of the others.

Long tail, for the labeled and the unlabeled part each: n_c = n_0 * imbalance^(-c / (K - 1)), rounded down; class 0 is
the most frequent. References: DARP (arXiv:2007.08844), CReST (arXiv:2102.09559), which call the ratio gamma.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from semisup.core.rng import numpy_generator
from semisup.errors import SettingError, check_range

Index = NDArray[numpy.int64]

ROUNDING = 1e-9
"""What a power of floats may lack of a whole number: 1500 * 100^-1 is 15, on every machine."""


@dataclass(frozen=True)
class SplitFractions:
    """How the images of a class are dealt out.

    test_share, validation_share: of each class, in [0, 0.9] together; a validation set there must be
    labels_per_class: labeled images of the most frequent class, at least 1; null: all that are left
    imbalance, imbalance_unlabeled: most to least frequent class, >= 1; 1 = as they come. Above 1 the most frequent
        class gets `labels_per_class`, or (without, and for the unlabeled) as many as let every class supply its share

    Raises:
        SettingError: a setting out of range, by its key in the data set.
    """

    test_share: float
    validation_share: float
    labels_per_class: int | None
    imbalance: float
    imbalance_unlabeled: float

    def __post_init__(self) -> None:
        check_range("labels_per_class", self.labels_per_class, 1)
        check_range("test_share", self.test_share, 0, 1)
        check_range("validation_share", self.validation_share, 0, 1, above=True)
        check_range("validation_share", self.validation_share + self.test_share, 0, 0.9)
        check_range("imbalance", self.imbalance, 1)
        check_range("imbalance_unlabeled", self.imbalance_unlabeled, 1)


def split_by_class(targets: Index, classes: Sequence[str], seed: int, portions: SplitFractions) -> dict[str, Index]:
    """The images of each split.

    Args:
        targets: (n,) in [0, K).
        classes: K names, for what goes wrong.
        seed: another seed, another split.
        portions: how many.

    Returns:
        for labeled, unlabeled, validation, test: indices into `targets`, ascending; no image is in two.

    Raises:
        SettingError: a class has too few images.
    """
    tests, validations, rests = [], [], []
    for number, name in enumerate(classes):
        order = shuffled_by_class(targets, number, seed)
        test = _share("test_share", portions.test_share, name, len(order))
        validation = _share("validation_share", portions.validation_share, name, len(order))
        tests.append(order[:test])
        validations.append(order[test : test + validation])
        rests.append(order[test + validation :])
    labels = labeled_counts([len(rest) for rest in rests], classes, portions.labels_per_class, portions.imbalance)
    left = [rest[count:] for rest, count in zip(rests, labels, strict=True)]
    pool = unlabeled_counts([len(rest) for rest in left], portions.imbalance_unlabeled)
    return {
        "labeled": _joined([rest[:count] for rest, count in zip(rests, labels, strict=True)]),
        "unlabeled": _joined([rest[:count] for rest, count in zip(left, pool, strict=True)]),
        "validation": _joined(validations),
        "test": _joined(tests),
    }


def shuffled_by_class(targets: Index, number: int, seed: int) -> Index:
    """Where the images of class `number` are, in the order in which they are dealt."""
    return numpy_generator(seed, "split", number).permutation(numpy.flatnonzero(targets == number))


def labeled_counts(
    available: Sequence[int], classes: Sequence[str], labels_per_class: int | None, imbalance: float
) -> list[int]:
    """How many images of each class are labeled.

    Raises:
        SettingError: a class has fewer, or would have none.
    """
    if labels_per_class is None:
        counts = unlabeled_counts(available, imbalance)
    else:
        counts = long_tail(labels_per_class, imbalance, len(available))
    for name, count, there in zip(classes, counts, available, strict=True):
        if count > there:
            allowed = f"class {name} has only {there} images for training"
            raise SettingError("dataset.labels_per_class", labels_per_class, allowed)
        if count == 0 and imbalance > 1:
            allowed = f"leaves class {name} no labeled image; give more dataset.labels_per_class or a lower ratio"
            raise SettingError("dataset.imbalance", imbalance, allowed)
        if count == 0:
            allowed = f"class {name} has no images for training"
            raise SettingError("dataset.labels_per_class", labels_per_class, allowed)
    return counts


def unlabeled_counts(available: Sequence[int], imbalance: float) -> list[int]:
    """How many images of each class are used: all, or the largest long tail that every class can supply."""
    if imbalance == 1:
        return list(available)
    tail = [imbalance ** (c / (len(available) - 1)) for c in range(len(available))]
    head = min(int(there * factor + ROUNDING) for there, factor in zip(available, tail, strict=True))
    return long_tail(head, imbalance, len(available))


def long_tail(head: int, imbalance: float, num_classes: int) -> list[int]:
    """n_c = head * imbalance^(-c / (K - 1)), rounded down."""
    return [int(head * imbalance ** (-c / (num_classes - 1)) + ROUNDING) for c in range(num_classes)]


def _share(key: str, share: float, name: str, count: int) -> int:
    """`share` of `count` images, rounded; at least one if it is any."""
    number = round(share * count)
    if share > 0 and number == 0:
        raise SettingError(f"dataset.{key}", share, f"class {name} has only {count} images, and this is none of them")
    return number


def _joined(parts: Sequence[Index]) -> Index:
    return numpy.sort(numpy.concatenate(parts)).astype(numpy.int64)
