"""Test splits: they depend on the seed, do not overlap, and have the requested sizes."""

import hashlib

import numpy
import pytest

from semisup.core.class_split import SplitFractions, labeled_counts, long_tail, split_by_class, unlabeled_counts
from semisup.dataset import SPLITS, Data
from semisup.errors import SettingError
from tests.conftest import checked

NAMES = ("cat", "dog", "fox")
TARGETS = numpy.random.default_rng(0).permutation(numpy.repeat([0, 1, 2], [100, 60, 40]))


def portions(
    labels: int | None = 5,
    imbalance: float = 1,
    unlabeled: float = 1,
    validation: float = 0.1,
    test: float = 0.2,
    per_class: int | None = None,
    folds: int | None = None,
    fold: int | None = None,
) -> SplitFractions:
    return SplitFractions(test, validation, labels, imbalance, unlabeled, per_class, folds, fold)


def counts(index: object) -> list[int]:
    return numpy.bincount(TARGETS[index], minlength=3).tolist()  # type: ignore[index]


def test_splits_are_disjoint_and_complete() -> None:
    parts = split_by_class(TARGETS, NAMES, 0, portions())
    joined = numpy.concatenate([parts[split] for split in SPLITS])
    assert sorted(joined.tolist()) == list(range(200))
    assert all((numpy.diff(part) > 0).all() for part in parts.values())
    assert counts(parts["labeled"]) == [5, 5, 5]
    assert counts(parts["validation"]) == [10, 6, 4]
    assert counts(parts["test"]) == [20, 12, 8]
    assert counts(parts["unlabeled"]) == [65, 37, 23]


def test_seed_determines_the_split() -> None:
    first, same, other = (split_by_class(TARGETS, NAMES, seed, portions()) for seed in (3, 3, 4))
    assert all((first[split] == same[split]).all() for split in SPLITS)
    assert all((first[split] != other[split]).any() for split in SPLITS)


def test_four_labels_are_a_subset_of_ten_and_the_test_set_is_unchanged() -> None:
    few, many = split_by_class(TARGETS, NAMES, 0, portions(4)), split_by_class(TARGETS, NAMES, 0, portions(10))
    assert set(few["labeled"]) < set(many["labeled"])
    assert (few["test"] == many["test"]).all()
    assert (few["validation"] == many["validation"]).all()


def test_additional_class_does_not_change_the_split_of_others() -> None:
    more = numpy.concatenate([TARGETS, numpy.full(30, 3)])
    three, four = split_by_class(TARGETS, NAMES, 0, portions()), split_by_class(more, (*NAMES, "owl"), 0, portions())
    assert all(set(three[split]) <= set(four[split]) for split in SPLITS)


def test_labels_per_class_null_labels_all_and_leaves_no_unlabeled_image() -> None:
    parts = split_by_class(TARGETS, NAMES, 0, portions(None))
    assert counts(parts["labeled"]) == [70, 42, 28]
    assert len(parts["unlabeled"]) == 0


def test_long_tail_has_the_published_numbers() -> None:
    """The sizes are those of CIFAR-10-LT in DARP and CReST: 1,500 labeled, 3,000 unlabeled, ratio 100."""
    assert long_tail(1500, 100, 10) == [1500, 899, 539, 323, 193, 116, 69, 41, 25, 15]
    assert long_tail(3000, 100, 10) == [3000, 1798, 1078, 646, 387, 232, 139, 83, 50, 30]
    assert long_tail(500, 10, 3) == [500, 158, 50]
    assert long_tail(7, 1, 4) == [7] * 4
    assert [long_tail(100 * ratio, ratio, 5)[-1] for ratio in range(1, 200)] == [100] * 199


def test_imbalance_of_both_parts_is_exact() -> None:
    targets = numpy.repeat(numpy.arange(10), 1000)
    names = [str(number) for number in range(10)]
    parts = split_by_class(targets, names, 0, portions(100, 100, 50, validation=0.1, test=0))
    of = {split: numpy.bincount(targets[parts[split]]).tolist() for split in SPLITS[:3]}
    assert of["labeled"] == [100, 59, 35, 21, 12, 7, 4, 2, 1, 1]
    assert of["unlabeled"] == long_tail(800, 50, 10)
    assert of["validation"] == [100] * 10
    assert len(parts["test"]) == 0
    alone = split_by_class(targets, names, 0, portions(100, 100, 1, validation=0.1, test=0))
    assert (alone["labeled"] == parts["labeled"]).all()
    assert numpy.bincount(targets[alone["unlabeled"]]).tolist() == [900 - n for n in of["labeled"]]


def test_largest_long_tail_that_every_class_has_images_for() -> None:
    assert unlabeled_counts([70, 42, 28], 1) == [70, 42, 28]
    assert unlabeled_counts([70, 42, 28], 4) == [70, 35, 17]
    assert unlabeled_counts([70, 10, 28], 4) == [20, 10, 5]
    assert unlabeled_counts([70, 42, 28], -4) == [7, 14, 28], "reversed"
    assert labeled_counts([70, 10, 28], NAMES, None, 4) == [20, 10, 5]
    for ratio in (1.5, 2, 3, 7.7, 100):
        assert all(a <= b for a, b in zip(unlabeled_counts([700, 420, 280], ratio), [700, 420, 280], strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"labels": 29},
            r"^dataset.labels_per_class=29: class fox has only 28 images for training; use a smaller number$",
        ),
        (
            {"labels": 20, "imbalance": 50},
            r"^dataset.imbalance=50: leaves class fox without labeled images; use a larger",
        ),
        (
            {"validation": 0.01},
            r"^dataset.validation_share=0.01: class fox has only 40 images, and this share of them is "
            r"less than one image",
        ),
        (
            {"test": 0.01},
            r"^dataset.test_share=0.01: class fox has only 40 images, and this share of them is less than one image",
        ),
    ],
)
def test_error_names_the_class_with_too_few_images(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        split_by_class(TARGETS, NAMES, 0, portions(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"labels": 0}, "labels_per_class"),
        ({"imbalance": 0.5}, "imbalance"),
        ({"unlabeled": 0}, "imbalance_unlabeled"),
        ({"validation": -0.1}, "validation_share"),
        ({"validation": 0.8}, "validation_share"),
        ({"test": -0.1}, "test_share"),
    ],
)
def test_setting_out_of_range_is_refused(settings: dict[str, float], key: str) -> None:
    with pytest.raises(SettingError) as caught:
        portions(**settings)  # type: ignore[arg-type]
    assert caught.value.key == key


def test_split_of_digits_is_unchanged() -> None:
    """The expected numbers are from runs that were trained before the split had a module of its own."""
    dataset = checked("dataset=digits").dataset
    data = dataset.read(dataset.inspect(), lambda items, description, total: items)
    assert data.fingerprint.startswith("0f9017df01ac0f98")
    names = "".join(path for split in SPLITS for path in getattr(data, split).paths)
    assert hashlib.sha256(names.encode()).hexdigest().startswith("f863113c2b2f3791")


def test_fewer_validation_images_are_nested_and_change_no_other_set() -> None:
    whole, four, two = (split_by_class(TARGETS, NAMES, 0, portions(per_class=number)) for number in (None, 4, 2))
    assert counts(four["validation"]) == [4, 4, 4]
    assert counts(two["validation"]) == [2, 2, 2]
    assert set(two["validation"]) < set(four["validation"]) < set(whole["validation"])
    for split in ("labeled", "unlabeled", "test"):
        assert (four[split] == whole[split]).all()
    other = split_by_class(TARGETS, NAMES, 1, portions(per_class=4))
    assert set(other["validation"]) != set(four["validation"]), "the seed selects them"


def test_more_validation_images_per_class_than_there_are_is_an_error() -> None:
    with pytest.raises(
        SettingError, match=r"^dataset\.validation_per_class=5: class fox has only 4 validation images; use a smaller"
    ):
        split_by_class(TARGETS, NAMES, 0, portions(per_class=5))
    with pytest.raises(SettingError, match=r"^validation_per_class=0: must be at least 1"):
        portions(per_class=0)


def test_digits_take_fewer_validation_images() -> None:
    def read(*overrides: str) -> Data:
        dataset = checked(*overrides).dataset
        return dataset.read(dataset.inspect(), lambda items, *_: items)

    whole, few = read(), read("dataset.validation_per_class=4")
    assert numpy.bincount(few.validation.targets).tolist() == [4] * 10
    assert set(few.validation.paths) < set(whole.validation.paths)
    for split in ("labeled", "unlabeled", "test"):
        assert getattr(few, split).paths == getattr(whole, split).paths
    assert few.fingerprint != whole.fingerprint
