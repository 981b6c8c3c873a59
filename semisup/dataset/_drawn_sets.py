"""Choose random validation and test images among the labeled images, for data sets without such images."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from semisup.dataset._file_index import FileSplit
from semisup.errors import SettingError
from semisup.images.scan import ImageFile
from semisup.text import counted, escape

Index = NDArray[numpy.int64]


class DrawnSets(NamedTuple):
    """Labeled images that are divided at random into test, validation and remaining images.

    Each field is a list with one array for each class: the indices of the images of this class.
    """

    test: list[Index]
    validation: list[Index]
    rest: list[Index]


def draw_sets(orders: Sequence[Index], classes: Sequence[str], validation_share: float, test_share: float) -> DrawnSets:
    """Choose validation and test images from each class.

    If a share is above 0, at least one image of each class is chosen for it. At least one image of each class remains.

    Args:
        orders: for each class, the indices of its images in random order.
        classes: K names, for the error message.
        validation_share, test_share: fractions of each class; 0 = choose no image.

    Raises:
        SettingError: a class has too few images.
    """
    sets = DrawnSets([], [], [])
    for name, order in zip(classes, orders, strict=True):
        test = max(1, round(test_share * len(order))) if test_share else 0
        validation = max(1, round(validation_share * len(order))) if validation_share else 0
        validation = min(validation, len(order) - test - 1)
        if (validation_share and validation < 1) or test + validation >= max(1, len(order)):
            raise _too_few(name, len(order), validation_share, test_share)
        sets.test.append(order[:test])
        sets.validation.append(order[test : test + validation])
        sets.rest.append(order[test + validation :])
    return sets


def describe_drawn(drawn: DrawnSets, validation_share: float, test_share: float) -> list[str]:
    """Describe the sets that `draw_sets` chose, in one line for the validation set and one for the test set."""
    lines, total = [], sum(map(len, [*drawn.test, *drawn.validation, *drawn.rest]))
    for split, share, images in (
        ("validation", validation_share, drawn.validation),
        ("test", test_share, drawn.test),
    ):
        if share:
            count = f"{sum(map(len, images))} of the {total} labeled images are chosen at random for it"
            rule = f"dataset.{split}_share={share:g} of each class, at least one image"
            lines.append(f"no {split} set was found: {count} ({rule})")
    return lines


def joined(parts: Sequence[Index]) -> list[int]:
    """Merge the image indices of several classes into one ascending list."""
    return sorted(numpy.concatenate(parts).tolist()) if parts else []


def without(files: list[ImageFile], parts: Sequence[FileSplit]) -> list[ImageFile]:
    """Return those of the files that are in none of the splits `parts`."""
    names = {file.name for part in parts for file in part.files}
    return [file for file in files if file.name not in names] if names else files


def _too_few(name: str, count: int, validation_share: float, test_share: float) -> SettingError:
    key, share = ("validation_share", validation_share) if validation_share else ("test_share", test_share)
    sets = ["training", *(["validation"] if validation_share else []), *(["the test"] if test_share else [])]
    images = counted(count, "labeled image")
    allowed = f"class {escape(name)} has only {images}, and each class needs one for {', one for '.join(sets)}"
    own = "dataset.validation=FOLDER names your own validation images" if validation_share else "use test_share=0"
    return SettingError(f"dataset.{key}", share, f"{allowed}; add images or remove the class; {own}")
