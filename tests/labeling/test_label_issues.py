"""Labels that look wrong: planted ones are found, and the probabilities come from models that did not see the label."""

import builtins
from typing import Any

import numpy
import pytest
from sklearn.linear_model import LogisticRegression

from semisup.errors import SettingError
from semisup.labeling.label_issues import (
    FOLDS,
    INVERSE_PENALTY,
    cross_validated_probabilities,
    find_label_issues,
    require_cleanlab,
    stratified_folds,
)
from semisup.labeling.unit_rows import unit_rows

pytest.importorskip("cleanlab", reason="needs the extra `label`")


def blobs(per_class: int, classes: int = 4, noise: float = 0.3) -> tuple[Any, Any]:
    """Embeddings around one direction per class, and their true classes."""
    draw = numpy.random.default_rng(0)
    targets = numpy.arange(per_class * classes) % classes
    centers = draw.normal(size=(classes, 16))
    return (centers[targets] + noise * draw.normal(size=(len(targets), 16))).astype(numpy.float32), targets


def test_planted_labels_are_found_and_named() -> None:
    embeddings, true = blobs(20)
    given = true.copy()
    planted = [3, 17, 40, 61]
    given[planted] = (true[planted] + 1) % 4
    issues = find_label_issues(embeddings, given, 4)
    assert sorted(issues.rows.tolist()) == planted
    assert issues.suggested.tolist() == true[issues.rows].tolist()
    assert issues.quality.tolist() == sorted(issues.quality.tolist())
    assert (issues.confidence > issues.quality).all()
    assert issues.skipped == 0


def test_correct_labels_are_not_suspicious() -> None:
    embeddings, true = blobs(20)
    assert len(find_label_issues(embeddings, true, 4).rows) == 0


@pytest.mark.parametrize("sizes", [(20, 3, 2), (2, 2), (7, 5, 5, 4)])
def test_probabilities_are_those_of_models_fitted_without_the_fold(sizes: tuple[int, ...]) -> None:
    targets = numpy.repeat(numpy.arange(len(sizes)), sizes)
    embeddings = numpy.random.default_rng(1).normal(size=(len(targets), 6))
    probabilities, folds = cross_validated_probabilities(embeddings, targets, len(sizes)), stratified_folds(targets, 0)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    points = unit_rows(embeddings)
    for row in range(len(targets)):
        others = folds != folds[row]
        model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000).fit(points[others], targets[others])
        assert set(model.classes_) == set(range(len(sizes)))
        assert probabilities[row] == pytest.approx(model.predict_proba(points[row : row + 1])[0])


@pytest.mark.parametrize("sizes", [(20, 3, 2), (2, 2), (100, 1)])
def test_folds_are_of_equal_size_and_split_every_class(sizes: tuple[int, ...]) -> None:
    targets = numpy.repeat(numpy.arange(len(sizes)), sizes)
    folds = stratified_folds(targets, 3)
    counts = numpy.bincount(folds)
    assert counts.max() - counts.min() <= 1
    assert len(counts) == min(FOLDS, len(targets))
    for target, size in enumerate(sizes):
        assert len(set(folds[targets == target])) >= min(2, size)


def test_classes_of_one_image_are_not_judged() -> None:
    embeddings, targets = blobs(10)
    targets = numpy.append(targets, [5, 7])
    embeddings = numpy.concatenate([embeddings, numpy.ones((2, 16), numpy.float32)])
    issues = find_label_issues(embeddings, targets, 9)
    assert issues.skipped == 2
    assert not set(issues.rows.tolist()) & {40, 41}
    alone = find_label_issues(embeddings[:3], numpy.array([0, 1, 2]), 4)
    assert (len(alone.rows), alone.skipped) == (0, 3)


def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_cleanlab()
    found = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("cleanlab"):
            raise ModuleNotFoundError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingError, match=r"pip install 'semisup\[label\]'"):
        require_cleanlab()
