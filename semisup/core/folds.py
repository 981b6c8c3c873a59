"""Cross-validation folds: hold out one part of the labeled images, for data sets without a validation set.

The labeled images, one class after another, are assigned to the folds 0, 1, ..., 0, 1, ... in turn. So the numbers of
images of a class in two folds differ by at most one. A run with `fold=k` validates on fold k and trains on the others.
"""

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray

from semisup.errors import SettingError, check_range
from semisup.text import escape

Index = NDArray[numpy.int64]


def check_folds(folds: int | None, fold: int | None) -> None:
    """Check the settings `dataset.folds` and `dataset.fold`.

    Raises:
        SettingError: one of them is not valid.
    """
    if folds is None:
        if fold is not None:
            raise SettingError("fold", fold, "needs dataset.folds; type dataset.folds=5, or dataset.fold=null")
        return
    if folds == 1:
        raise SettingError(
            "folds", folds, "must be at least 2: with one fold, no labeled image would be left for training"
        )
    check_range("folds", folds, 2)
    if fold is None or not 0 <= fold < folds:
        numbers = ",".join(map(str, range(folds))) if folds <= 10 else f"0,1,...,{folds - 1}"
        raise SettingError(
            "fold",
            fold,
            f"must be 0 to {folds - 1} with dataset.folds={folds}; "
            f"a sweep over dataset.fold={numbers} trains all folds",
        )


def second_validation_set(folds: int, key: str, value: object, unused: str) -> SettingError:
    """Build the error for `dataset.folds` with a data set that already has a validation set.

    Args:
        folds: the value of `dataset.folds`.
        key, value: name and value of the setting that creates the validation set, such as `validation_share`.
        unused: the value of this setting with which no validation set is created.
    """
    return SettingError(
        "folds",
        folds,
        f"cross-validation is for data without a validation set, but dataset.{key}={escape(value)} gives one; "
        f"type dataset.{key}={unused}, or leave dataset.folds out",
    )


def hold_out_fold(labeled: Sequence[Index], classes: Sequence[str], folds: int, fold: int) -> list[Index]:
    """Choose the images of one fold.

    Args:
        labeled: the labeled images of each of the K classes, in random order.
        classes: K names, for the error message.
        folds: number of folds, at least 2.
        fold: index of the fold to hold out, in [0, folds).

    Returns:
        for each class, the ascending indices of the chosen images in the array `labeled[class]`.

    Raises:
        SettingError: a class has fewer labeled images than there are folds.
    """
    name, fewest = min(zip(classes, map(len, labeled), strict=True), key=lambda pair: pair[1])
    if fewest < folds:
        fix = (
            f"type dataset.folds={fewest}, or fewer"
            if fewest > 1
            else "cross-validation needs at least 2 of each class"
        )
        raise SettingError(
            "dataset.folds",
            folds,
            f"class {escape(name)} has only {fewest} labeled image{'s' if fewest != 1 else ''}; {fix}",
        )
    held_out, dealt = [], 0
    for images in labeled:
        held_out.append(numpy.flatnonzero((numpy.arange(len(images)) + dealt) % folds == fold).astype(numpy.int64))
        dealt += len(images)
    return held_out
