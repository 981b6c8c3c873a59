"""Gains over folds: Nadeau and Bengio's variance, one row over all folds, and folds that were not run."""

import io
import json
import math
import re
from pathlib import Path

import numpy
import pytest
import yaml
from rich.console import Console

from semisup.analysis.comparison import Comparison, compare_runs
from semisup.analysis.folds import incomplete_folds
from semisup.analysis.gains import CONTROL, LABELS_ONLY
from semisup.analysis.intervals import chosen_interval, paired_interval
from semisup.analysis.runs import find_runs, read_runs
from semisup.cli.compare import compare
from semisup.report.wording import summary_sentence
from tests.report.run_maker import make_with_references, plain_of

POINTS = [3.0, 1.0, 2.0, 4.0, 5.0]


def test_variance_of_folds_is_that_of_nadeau_and_bengio() -> None:
    """By hand: s^2 = 2.5, J = 5, n_test / n_train = 1/4: se^2 = 2.5 (1/5 + 1/4) = 1.125; t(4, 97.5 %) = 2.776445."""
    interval = paired_interval(POINTS, overlap=1 / 4)
    assert interval is not None
    assert interval.mean == 3.0
    assert interval.standard_error**2 == pytest.approx(1.125)
    assert interval.degrees_of_freedom == 4
    assert interval.high - interval.mean == pytest.approx(2.776445 * math.sqrt(1.125), abs=1e-5)
    independent = paired_interval(POINTS)
    assert independent is not None
    assert independent.standard_error**2 == pytest.approx(2.5 / 5)
    assert independent.low > 1.0 > interval.low > 0.0, "s^2 / J alone is too narrow: 1.04 to 4.96 against 0.06 to 5.94"


def test_images_add_to_the_variance_of_folds() -> None:
    image_means = [100.0, 0.0, 0.0, 0.0]  # variance 2500, of the mean 625
    interval = paired_interval(POINTS, image_means, 1 / 4)
    assert interval is not None
    assert interval.standard_error**2 == pytest.approx(1.125 + 625)
    assert interval.degrees_of_freedom == pytest.approx((1.125 + 625) ** 2 / (1.125**2 / 4 + 625**2 / 3))


def test_chosen_cell_of_folds_has_the_same_correction() -> None:
    cells = [POINTS, [point - 1 for point in POINTS]]
    corrected, independent = chosen_interval(cells, 0, None, 1 / 4), chosen_interval(cells, 0)
    assert corrected is not None
    assert independent is not None
    assert corrected.standard_error**2 == pytest.approx(1.125)
    assert (corrected.high - 3) / (independent.high - 3) == pytest.approx(math.sqrt(1.125 / 0.5))


def test_corrected_interval_is_right_where_the_independent_one_is_wrong() -> None:
    """No gain, five folds whose differences have the correlation 1/5 of the paper: 5 % may exclude 0."""
    generator = numpy.random.Generator(numpy.random.Philox(key=[5, 2003]))
    count, correlation = 4000, 1 / 5
    shared = generator.standard_normal((count, 1)) * math.sqrt(correlation)
    draws = shared + generator.standard_normal((count, 5)) * math.sqrt(1 - correlation)
    excluded = {
        overlap: sum(
            not interval.low <= 0 <= interval.high
            for each in draws.tolist()
            if (interval := paired_interval(each, overlap=overlap))
        )
        / count
        for overlap in (0.0, 1 / 4)
    }
    assert 0.04 < excluded[1 / 4] < 0.06
    assert excluded[0.0] > 0.12


def sweep(folder: Path, folds: list[int], *, of: int = 5, test: bool = True, taus: tuple[str, ...] = ("0.9",)) -> None:
    """Make the runs of some folds; the gain over the control is `POINTS[fold]` at every tau."""
    for tau in taus:
        for fold in folds:
            config = plain_of("method=self_training", f"threshold.tau={tau}")
            config["dataset"] |= {"folds": of, "fold": fold, "validation_share": 0.0}
            accuracy = round(0.8 + POINTS[fold] / 100, 4)
            numbers = {"control": 0.8, "baseline": 0.7}
            make_with_references(
                *(folder, config), val=accuracy, test=accuracy if test else None, labelings=[(0.8, 0.95)], **numbers
            )


def comparison(folder: Path) -> Comparison:
    return compare_runs(read_runs(find_runs([folder])))


def test_runs_of_all_folds_are_one_row_with_the_corrected_interval(tmp_path: Path) -> None:
    sweep(tmp_path, [0, 1, 2, 3, 4])
    (row,) = comparison(tmp_path).rows
    assert [run.fold for run in row.runs] == [0, 1, 2, 3, 4]
    gain, alone = row.gains[CONTROL], row.gains[LABELS_ONLY]
    assert gain.mean == pytest.approx(3.0)
    assert gain.overlap == 1 / 4
    assert gain.interval is not None
    assert gain.interval.standard_error**2 == pytest.approx(1.125)
    assert alone.pairs == 5
    lines = summary_sentence(comparison(tmp_path)).split("\n")
    assert lines[0] == "One setting: test accuracy 83.0 ± 1.6 % over 5 folds."
    expected = (
        "Unlabeled images: this setting is 3.0 points better than the control, 95 % interval of the gain +0.1 to +5.9:"
    )
    assert lines[1].startswith(expected)
    assert not any("folds are" in line for line in lines)


def test_compare_recommends_all_folds_and_a_refit(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    sweep(folder, [0, 1, 2, 3, 4])
    best = comparison(folder).best
    assert best is not None
    for run in best.runs:
        about = json.loads((run.folder / "run.json").read_text())
        words = f"method=self_training threshold.tau=0.9 dataset.folds=5 dataset.fold={run.fold} train.refit=false"
        (run.folder / "run.json").write_text(json.dumps(about | {"command": f"semisup train {words}"}))
    file = io.StringIO()
    assert compare([folder], Console(file=file, width=1000)) == 0
    text = file.getvalue()
    assert "± is the spread over folds" in text
    assert re.search(r"tau +folds +val %|^ *method +folds +val %", text, re.MULTILINE)
    assert "seed" not in text.split("wrote")[0]
    runs = " ".join(str(run.folder) for run in best.runs)
    assert f"use all folds on your images:  semisup predict {runs} images/" in text
    assert f"look at one fold:   semisup show {best.runs[0].folder}" in text
    refit = "semisup train method=self_training threshold.tau=0.9 method.gate=0 dataset.folds=null dataset.fold=null"
    assert f"train it on all labels: {refit} train.refit=true" in text


def test_folds_with_several_seeds_are_one_row(tmp_path: Path) -> None:
    sweep(tmp_path, [0, 1])
    for path in list(tmp_path.iterdir()):
        config = yaml.safe_load((path / "config.yaml").read_text())
        assert config["dataset"]["folds"] == 5
    for fold in (0, 1):
        config = plain_of("method=self_training", "threshold.tau=0.9", seed=1)
        config["dataset"] |= {"folds": 5, "fold": fold, "validation_share": 0.0}
        make_with_references(tmp_path, config, test=0.85, control=0.8, baseline=0.7, labelings=[(0.8, 0.95)])
    (row,) = comparison(tmp_path).rows
    assert [run.replicate for run in row.runs] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    lines = summary_sentence(comparison(tmp_path)).split("\n")
    assert "over 4 runs (2 seeds, 2 folds)." in lines[0]
    assert lines[-1] == (
        "Not all folds are finished: dataset.fold=2,3,4 of 5 folds are missing, so the means are over the other folds."
    )


@pytest.mark.parametrize("test", [True, False], ids=["test set", "no test set"])
def test_one_fold_has_no_interval_and_says_which_are_missing(test: bool, tmp_path: Path) -> None:
    sweep(tmp_path, [2], test=test)
    file = io.StringIO()
    assert compare([tmp_path], Console(file=file, width=200)) == 0
    output = " ".join(file.getvalue().split())
    assert "nan" not in output.lower().split()
    assert "on one fold" in output
    assert "dataset.fold=0,1,3,4 of 5 folds are missing, so the means are over the other folds." in output
    saved = json.loads((tmp_path / "comparison.json").read_text())
    assert saved["rows"][0]["folds"] == [2]
    assert saved["rows"][0]["gain_over_control_points"]["low"] is None
    assert "fold" in (tmp_path / "comparison.csv").read_text().partition("\n")[0].split(",")


def test_missing_folds_of_many_settings_are_one_sentence(tmp_path: Path) -> None:
    sweep(tmp_path, [0, 1, 4], taus=("0.5", "0.6", "0.7", "0.8", "0.9"))
    sweep(tmp_path, [2, 3], taus=("0.5",))
    rows = [(str(row.settings), row.runs) for row in comparison(tmp_path).rows]
    sentence = incomplete_folds(rows)
    assert sentence.count("dataset.fold=2,3 of 5 folds with ") == 3
    assert sentence.endswith("and folds of 1 more settings are missing, so the means are over the other folds.")


def test_runs_without_folds_are_as_before(tmp_path: Path) -> None:
    for seed in range(3):
        config = plain_of("method=self_training", "threshold.tau=0.9", seed=seed)
        make_with_references(tmp_path, config, test=0.85, control=0.8, baseline=0.7, labelings=[(0.8, 0.95)])
    assert compare([tmp_path], Console(file=io.StringIO(), width=200)) == 0
    saved = json.loads((tmp_path / "comparison.json").read_text())
    assert "folds" not in saved["rows"][0]
    assert "over 3 seeds." in saved["sentence"]
    assert "fold" not in (tmp_path / "comparison.csv").read_text().partition("\n")[0].split(",")
