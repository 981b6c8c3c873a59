"""Give the unlabeled images a long-tailed class distribution, for experiments on data with known true classes."""

from collections.abc import Sequence

import numpy

from semisup.core.class_split import shuffled_by_class, unlabeled_counts
from semisup.errors import SettingError

KEY = "dataset.imbalance_unlabeled"


def select_long_tail(truth: Sequence[int], classes: Sequence[str], imbalance: float, seed: int) -> list[int]:
    """Select as many unlabeled images as possible so that the K classes have a long-tailed distribution.

    All images of other and of unknown classes are selected too.

    Args:
        truth: true class numbers of the n unlabeled images, in [0, K]; K = another class, -1 = unknown.
        classes: K names.
        imbalance: number of images of the first class divided by that of the last class; 1 = select all. A negative
            number, such as -10, means that the last class has 10 times as many images as the first one.
        seed: seed of the selection.

    Returns:
        ascending indices of the selected images.

    Raises:
        SettingError: the true classes are unknown, or a class has too few unlabeled images.
    """
    if imbalance == 1:
        return list(range(len(truth)))
    targets = numpy.asarray(truth, dtype=numpy.int64)
    orders = [shuffled_by_class(targets, number, seed) for number in range(len(classes))]
    if not any(map(len, orders)):
        table = "dataset.truth=FILE (a table of the true classes)"
        allowed = f"selects unlabeled images by their true class, and none is known; type {table}, or {KEY}=1"
        if (targets >= len(classes)).any():
            allowed = f"no unlabeled image is known to be of one of the {len(classes)} classes; type {KEY}=1"
        raise SettingError(KEY, imbalance, allowed)
    counts = unlabeled_counts([len(order) for order in orders], imbalance)
    for name, order, count in zip(classes, orders, counts, strict=True):
        if count == 0:
            allowed = f"selects no image of class {name}, which has {len(order)} known unlabeled image(s)"
            raise SettingError(KEY, imbalance, f"{allowed}; use a smaller ratio, or 1")
    selected = numpy.concatenate([order[:count] for order, count in zip(orders, counts, strict=True)])
    others = numpy.flatnonzero((targets < 0) | (targets >= len(classes)))
    rows: list[int] = numpy.sort(numpy.concatenate((selected, others))).tolist()
    return rows
