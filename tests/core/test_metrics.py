"""Metrics from confusion counts, compared with scikit-learn's."""

import warnings

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from semisup.core.metrics import balanced_accuracy, confusion_counts, macro_f1, recall_per_class
from semisup.core.rng import torch_generator

CASES = {
    "all classes": ([0, 1, 2, 3], [0, 1, 2, 3]),
    "classes without images": ([0, 2], [0, 1, 2, 3]),
    "classes that are never predicted": ([0, 1, 2, 3], [1, 2]),
    "classes that are neither": ([0, 2], [0, 2]),
    "one class": ([3], [3]),
    "disjoint classes": ([0, 1], [2, 3]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("images", [1, 7, 200])
def test_class_metrics_equal_scikit_learns(case: str, images: int) -> None:
    generator = torch_generator(images, case)
    true_classes, predicted_classes = (torch.tensor(classes) for classes in CASES[case])
    true = true_classes[torch.randint(len(true_classes), (images,), generator=generator)]
    random = predicted_classes[torch.randint(len(predicted_classes), (images,), generator=generator)]
    correct = torch.rand(images, generator=generator) < (0.5 if len(predicted_classes) == 4 else 0)
    predicted = torch.where(correct, true, random)
    confusion = confusion_counts(true, predicted, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about classes without images
        assert balanced_accuracy(confusion) == pytest.approx(balanced_accuracy_score(true, predicted), abs=1e-12)
        assert macro_f1(confusion) == pytest.approx(f1_score(true, predicted, average="macro"), abs=1e-12)
        expected = recall_score(true, predicted, labels=[0, 1, 2, 3], average=None, zero_division=0)
    for number, recall in enumerate(recall_per_class(confusion)):
        if (true == number).any():
            assert recall == pytest.approx(expected[number], abs=1e-12)
        else:
            assert recall is None


def test_class_metrics_without_images_are_none() -> None:
    confusion = confusion_counts(torch.tensor([-1, -1]), torch.tensor([0, 1]), 3)
    assert balanced_accuracy(confusion) is None
    assert macro_f1(confusion) is None
    assert recall_per_class(confusion) == [None] * 3


def test_class_metrics_of_an_unbalanced_set_differ_from_accuracy() -> None:
    confusion = torch.tensor([[90, 0], [10, 0]])
    assert balanced_accuracy(confusion) == 0.5
    assert macro_f1(confusion) == pytest.approx((2 * 90 / 190 + 0) / 2)
    assert recall_per_class(confusion) == [1.0, 0.0]
