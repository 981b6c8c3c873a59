"""Rules that choose images to label next, against direct computation."""

import itertools
from typing import Any

import numpy
import pytest
import scipy.stats

from semisup.labeling import rules
from semisup.labeling.rules import RULES, entropy_uncertainty, margin_uncertainty, maximize_coverage, select_images


def problem(count: int = 40, classes: int = 4, size: int = 6) -> tuple[Any, Any, Any]:
    draw = numpy.random.default_rng(0)
    probabilities = draw.dirichlet(numpy.ones(classes), count).astype(numpy.float32)
    return probabilities, draw.normal(size=(count, size)).astype(numpy.float32), draw.normal(size=(5, size))


def test_uncertainty_is_what_the_definition_says() -> None:
    probabilities, _, _ = problem()
    sorted_rows = [sorted(row, reverse=True) for row in probabilities.tolist()]
    assert margin_uncertainty(probabilities) == pytest.approx([1 - (row[0] - row[1]) for row in sorted_rows])
    assert entropy_uncertainty(probabilities) == pytest.approx(scipy.stats.entropy(probabilities, axis=1), rel=1e-5)
    certain, uniform = numpy.eye(3)[:1], numpy.full((1, 3), 1 / 3)
    assert (margin_uncertainty(certain)[0], entropy_uncertainty(certain)[0]) == (0, 0)
    assert margin_uncertainty(uniform)[0] == 1
    assert entropy_uncertainty(uniform)[0] == pytest.approx(numpy.log(3))


@pytest.mark.parametrize("rule", ["margin", "entropy"])
def test_the_most_uncertain_images_come_first(rule: str) -> None:
    probabilities, embeddings, labeled = problem()
    probabilities[7] = probabilities[3]  # of equal ones the first comes first
    rows, scores = select_images(rule, probabilities, embeddings, labeled, 40)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert sorted(rows.tolist()) == list(range(40))
    assert rows.tolist().index(3) + 1 == rows.tolist().index(7)
    assert select_images(rule, probabilities, embeddings, labeled, 9)[0].tolist() == rows[:9].tolist()


def coverage(similarity: Any, weights: Any, covered: Any, chosen: Any) -> float:
    return float((weights * numpy.maximum(covered, similarity[:, list(chosen)].max(axis=1, initial=0))).sum())


def test_greedy_coverage_equals_direct_search_and_nearly_reaches_the_optimum() -> None:
    draw = numpy.random.default_rng(2)
    points = draw.normal(size=(12, 3))
    similarity = numpy.clip(points @ points.T, 0, None)
    weights, covered = draw.uniform(size=12), draw.uniform(0, 0.5, 12)
    chosen: list[int] = []
    for _ in range(4):
        rest = [row for row in range(12) if row not in chosen]
        chosen.append(max(rest, key=lambda row: coverage(similarity, weights, covered, [*chosen, row])))
    assert maximize_coverage(similarity, weights, covered, 4).tolist() == chosen
    nothing = coverage(similarity, weights, covered, [])
    best = max(coverage(similarity, weights, covered, each) for each in itertools.combinations(range(12), 4))
    assert coverage(similarity, weights, covered, chosen) - nothing >= (1 - 1 / numpy.e) * (best - nothing)


def test_spread_takes_one_image_of_each_group_that_has_no_labeled_image() -> None:
    draw = numpy.random.default_rng(0)
    centers = numpy.eye(5, 8)
    groups = numpy.repeat(numpy.arange(5), 10)
    embeddings = (centers[groups] + 0.05 * draw.normal(size=(50, 8))).astype(numpy.float32)
    probabilities = numpy.tile([0.5, 0.3, 0.2], (50, 1))
    rows, scores = select_images("spread", probabilities, embeddings, centers[:2], 3)
    assert sorted(groups[rows].tolist()) == [2, 3, 4]
    assert scores == pytest.approx(0.8)


def test_spread_prefers_uncertain_groups() -> None:
    groups = numpy.repeat(numpy.arange(3), 10)
    embeddings = (numpy.eye(3, 8)[groups] + 0.05 * numpy.random.default_rng(0).normal(size=(30, 8))).astype("float32")
    probabilities = numpy.where((groups == 1)[:, None], [0.5, 0.5], [0.99, 0.01])
    assert groups[select_images("spread", probabilities, embeddings, numpy.zeros((0, 8)), 1)[0][0]] == 1


@pytest.mark.parametrize("rule", RULES)
def test_all_images_can_be_chosen_each_once_and_repeatedly_the_same(rule: str) -> None:
    probabilities, embeddings, labeled = problem()
    embeddings[3] = embeddings[4]  # duplicates
    embeddings[5] = 0
    rows = select_images(rule, probabilities, embeddings, labeled, 40)[0]
    assert sorted(rows.tolist()) == list(range(40))
    assert (select_images(rule, probabilities, embeddings, labeled, 40)[0] == rows).all()


def test_spread_uses_a_sample_of_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, embeddings, labeled = problem()
    monkeypatch.setattr(rules, "MAX_IMAGES", 10)
    rows = select_images("spread", probabilities, embeddings, labeled, 6)[0]
    assert len(set(rows.tolist())) == 6
    assert sorted(select_images("spread", probabilities, embeddings, labeled, 15)[0].tolist()) != list(range(15))
    assert len(set(select_images("spread", probabilities, embeddings, labeled, 15)[0].tolist())) == 15
