"""What a comparison computes from stored predictions: ensembles, and selection with fewer validation images."""

from collections.abc import Sequence
from pathlib import Path

import numpy
import pytest

from semisup.analysis.comparison import compare_runs
from semisup.analysis.ensembles import ensemble_accuracy
from semisup.analysis.runs import Run, find_runs, read_runs
from semisup.analysis.selection_stability import DRAWS, IMAGES_PER_CLASS, selection_stability
from semisup.analysis.stored_predictions import StoredPredictions
from semisup.record.probabilities import FILE, encode_probabilities
from tests.report.run_maker import make, plain_of, store


def runs_of(tmp_path: Path, count: int) -> list[Path]:
    return [make(tmp_path / "mine", plain_of(seed=seed)) for seed in range(count)]


# Ensembles ------------------------------------------------------------------------------------------------------------

TARGETS = (0, 1, 2, 0)
FIRST = numpy.array([[0.6, 0.3, 0.1], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7], [0.4, 0.6, 0.0]])
SECOND = numpy.array([[0.2, 0.5, 0.3], [0.1, 0.7, 0.2], [0.4, 0.3, 0.3], [0.3, 0.7, 0.0]])


def test_ensemble_is_the_mean_of_the_probabilities(tmp_path: Path) -> None:
    """FIRST and SECOND are correct on two images and on one; their mean on the first three."""
    one, other = runs_of(tmp_path, 2)
    runs = [store(one, FIRST, TARGETS, validation=[(0, True)]), store(other, SECOND, TARGETS, validation=[(0, False)])]
    assert ensemble_accuracy(runs, StoredPredictions()) == 0.75
    (row,) = compare_runs(runs).rows
    assert row.ensemble == 0.75
    lines = (other / "predictions.csv").read_text().splitlines()
    order = [0, 1, 4, 3, 5, 2]  # the rows in another order: images are matched by path
    (other / "predictions.csv").write_text("\n".join(lines[number] for number in order) + "\n")
    mixed = numpy.array([numpy.eye(3)[1], *SECOND])[[number - 1 for number in order[1:]]]
    (other / FILE).write_bytes(encode_probabilities(mixed.astype(numpy.float32)))
    assert ensemble_accuracy(runs, StoredPredictions()) == 0.75


def test_no_ensemble_without_shared_test_images_and_probabilities(tmp_path: Path) -> None:
    one, other = runs_of(tmp_path, 2)
    first = store(one, FIRST, TARGETS)

    def ensemble(second: Run) -> float | None:
        return ensemble_accuracy([first, second], StoredPredictions())

    assert ensemble(store(other, SECOND, TARGETS)) == 0.75
    assert ensemble_accuracy([first], StoredPredictions()) is None
    assert ensemble(first) is None, "one seed twice"
    assert ensemble(store(other, SECOND, TARGETS, paths=["t0", "t1", "t2", "t9"])) is None
    assert ensemble(store(other, SECOND, (0, 1, 2, 1))) is None, "other classes of the same images"
    assert ensemble(store(other, SECOND, TARGETS, classes=["a", "b", "d"])) is None
    assert ensemble(store(other)) is None, "no test set"
    second = store(other, SECOND, TARGETS)
    (other / FILE).write_bytes(b"damaged")
    assert ensemble(second) is None
    (other / FILE).unlink()
    assert ensemble(second) is None, "a run of version 0.1.0"
    (other / "predictions.csv").unlink()
    assert ensemble(second) is None


# Selection with fewer validation images -------------------------------------------------------------------------------


def cell_of(tmp_path: Path, name: str, correct: Sequence[Sequence[bool]], classes: int = 2) -> list[Run]:
    """Runs of one cell, one for each seed, correct on these validation images of classes 0, 1, ... in turn."""
    return [
        store(
            make(tmp_path / name, plain_of(seed=seed)),
            validation=[(number % classes, right) for number, right in enumerate(each)],
        )
        for seed, each in enumerate(correct)
    ]


def test_share_of_draws_equals_the_hypergeometric_probability(tmp_path: Path) -> None:
    """One cell is correct everywhere but on 3 of 12 images of class 0, the other everywhere but on 6 of class 1.

    With n of each class the first is selected where it misses fewer, or as many, being the first.
    """
    stats = pytest.importorskip("scipy.stats")
    right = numpy.ones((2, 24), dtype=bool)
    right[0, [0, 2, 4]] = False
    right[1, [1, 3, 5, 7, 9, 11]] = False
    cells = [cell_of(tmp_path, name, [flags.tolist()]) for name, flags in zip("ab", right, strict=True)]
    result = selection_stability(cells, 0, StoredPredictions())
    assert [each.per_class for each in result] == [4, 10]
    for size, share in result:
        own, other = stats.hypergeom(12, 3, size), stats.hypergeom(12, 6, size)
        expected = sum(own.pmf(missed) * other.sf(missed - 1) for missed in range(4))
        assert share == pytest.approx(expected, abs=4 * (0.25 / DRAWS) ** 0.5)
    swapped = selection_stability(cells[::-1], 1, StoredPredictions())
    assert [each.share for each in swapped] < [each.share for each in result], "ties go to the first cell"
    assert selection_stability(cells, 0, StoredPredictions()) == result, "the draws are seeded"


def test_seeds_count_by_their_mean_and_the_selected_cell_is_always_selected_without_noise(tmp_path: Path) -> None:
    better, worse = [True] * 60, [False] * 60
    cells = [cell_of(tmp_path, "a", [better, worse, worse]), cell_of(tmp_path, "b", [worse, better, better])]
    assert [tuple(each) for each in selection_stability(cells, 1, StoredPredictions())] == [
        (size, 1.0) for size in IMAGES_PER_CLASS
    ]
    assert {each.share for each in selection_stability(cells, 0, StoredPredictions())} == {0.0}


def test_images_that_the_cells_share_are_drawn_together(tmp_path: Path) -> None:
    """Cells that are correct on the same images but one differ by that image alone."""
    flags = numpy.random.default_rng(0).random(100) < 0.6
    flags[0] = False
    more = flags.copy()
    more[0] = True
    cells = [cell_of(tmp_path, name, [each.tolist()]) for name, each in (("a", flags), ("b", more))]
    for size, share in selection_stability(cells, 1, StoredPredictions()):
        assert share == pytest.approx(size / 50, abs=0.06)


def test_no_figures_for_one_cell_or_without_predictions(tmp_path: Path) -> None:
    cells = [cell_of(tmp_path, name, [[True] * 60]) for name in "ab"]
    assert selection_stability(cells, 0, StoredPredictions())
    assert selection_stability(cells[:1], 0, StoredPredictions()) == ()
    few = [cell_of(tmp_path, name, [[True] * 8]) for name in "cd"]
    assert selection_stability(few, 0, StoredPredictions()) == (), "four images of each class are all"
    (cells[1][0].folder / "predictions.csv").unlink()
    assert selection_stability(cells, 0, StoredPredictions()) == ()
    assert selection_stability([], 0, StoredPredictions()) == ()


def test_comparison_draws_for_the_cell_that_it_selects(tmp_path: Path) -> None:
    """Cells of equal accuracy: the comparison selects the first by settings, whatever the order of the folders."""
    for tau, val in ((0.5, 0.6), (0.9, 0.5), (0.7, 0.6)):
        folder = make(tmp_path / "mine", plain_of(f"threshold.tau={tau}"), val=val)
        store(folder, validation=[(number % 3, number % 10 < 10 * val) for number in range(120)])
    comparison = compare_runs(read_runs(find_runs([tmp_path / "mine"])))
    assert comparison.best is not None
    assert comparison.best.settings == {"threshold.tau": 0.5}
    assert all(each.share > 0.5 for each in comparison.stability)
