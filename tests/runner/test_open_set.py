"""Warnings about the true classes of unlabeled images."""

import warnings

import pytest
import torch

from semisup.core.types import Images
from semisup.dataset import Data
from semisup.runner.open_set import warn_of_other_classes, warn_of_single_images

ABC = ("ant", "bee", "cat")


def messages(truth: list[int], *, rejects: bool) -> list[str]:
    images = Images(torch.zeros(len(truth), 1, 2, 2), torch.tensor([-1] * len(truth)), [str(each) for each in truth])
    data = Data(images, images, images, images, torch.tensor(truth, dtype=torch.int64), ABC, "")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_other_classes(data, rejects=rejects)
    return [str(each.message) for each in caught]


OF_CLASSES = (
    "all 3 unlabeled images belong to the 3 classes, so reject can only remove images of these classes; use reject=none"
)


@pytest.mark.parametrize(
    ("truth", "rejects", "expected"),
    [
        ([0, 1, 2, 3], True, []),
        ([0, 1, 2], False, []),
        ([0, 1, 2], True, [OF_CLASSES]),
        (
            [3, 3],
            False,
            ["none of the 2 unlabeled images belongs to one of the 3 classes, so every pseudo-label is wrong"],
        ),
        ([0, 3], False, ["no unlabeled image belongs to the classes bee and cat"]),
        ([0, 1, 3], True, ["no unlabeled image belongs to the class cat"]),
        ([0, 0, -1], True, []),
        ([], True, []),
    ],
)
def test_unlabeled_images_that_do_not_suit_a_run_give_one_sentence(
    truth: list[int], rejects: bool, expected: list[str]
) -> None:
    given = messages(truth, rejects=rejects)
    assert len(given) == len(expected)
    assert all(message.startswith(start) for message, start in zip(given, expected, strict=True))


@pytest.mark.parametrize(
    ("labels", "start"),
    [
        ([0, 1, 2, 2, 2, 2], None),
        ([0, 0, 1, 1, 2, 2, 2, 2, 2], None),
        (
            [0, 1, 1, 2, 2, 2, 2, 2],
            "the class ant has only 1 labeled image, but cat has 5; label more images, or try the losses",
        ),
        ([0, 1, 2, 2, 2, 2, 2, 2], "the classes ant and bee have only 1 labeled image each, but cat has 6; "),
    ],
)
def test_class_with_one_labeled_image_gives_one_sentence(labels: list[int], start: str | None) -> None:
    images = Images(torch.zeros(len(labels), 1, 2, 2), torch.tensor(labels), [str(each) for each in labels])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_single_images(Data(images, images, images, images, torch.tensor([]), ABC, ""))
    assert [str(each.message)[: len(start or "")] for each in caught] == ([start] if start else [])
