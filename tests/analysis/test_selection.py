"""A comparison ranks settings by the validation metric of `train.select_by`, and chooses with it."""

import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
from rich.console import Console

from semisup.analysis.comparison import Comparison, compare_runs
from semisup.analysis.gains import CONTROL, Pair, seeds_to_detect, shared_image_means
from semisup.analysis.runs import Run, find_runs, read_runs
from semisup.analysis.selection_stability import selection_stability
from semisup.analysis.stored_predictions import StoredPredictions
from semisup.cli.compare import compare
from semisup.config import schema
from semisup.config.controls import control_config, labels_only_configs
from semisup.report.export import as_json, row_lines, run_lines
from semisup.report.html.comparison_page import comparison_page
from semisup.report.tables import references_table, settings_table
from semisup.report.wandb_report import gain_values
from semisup.report.wording import summary_sentence
from tests.report.run_maker import STEPS, make, plain_of, store

SUMMARY = {"steps": STEPS, "labeled_steps": 300}


def scored(outputs: Path, plain: schema.ConfigDict, *, val: float = 0.8, test: float = 0.7, **scores: float) -> Path:
    """Make a run with an accuracy and other metrics, which have the same value on validation and test."""
    folder = make(outputs / "mine", plain, val=val, test=test)
    summary = json.loads((folder / "summary.json").read_text())
    more = {f"{split}/{name}": value for split in ("best/val", "test") for name, value in scores.items()}
    (folder / "summary.json").write_text(json.dumps(summary | more))
    return folder


def sweep(outputs: Path, metric: str, *cells: tuple[float, float]) -> Comparison:
    """Compare settings of two seeds with these accuracies and values of the metric; controls are worse by 0.1."""
    for number, (accuracy, value) in enumerate(cells):
        for seed in range(2):
            plain = plain_of(f"threshold.tau={0.5 + number / 10}", f"train.select_by={metric}", seed=seed)
            scored(outputs, plain, val=accuracy, test=accuracy, **{metric: value})
            control = cells[0][1] + (0.1 if metric == "loss" else -0.1)
            if number == 0:
                scored(outputs, control_config(plain, SUMMARY), val=0.5, test=0.5, **{metric: control})
    return compare_runs(read_runs(find_runs([outputs])))


def test_balanced_accuracy_ranks_the_settings_and_measures_the_gains(tmp_path: Path) -> None:
    comparison = sweep(tmp_path, "balanced_accuracy", (0.9, 0.6), (0.8, 0.7))
    assert comparison.best is not None
    assert comparison.best.settings == {"threshold.tau": 0.6}
    assert comparison.best.gains[CONTROL].mean == pytest.approx(20), "over 0.5 in balanced accuracy, not 30 in accuracy"
    first = summary_sentence(comparison).splitlines()[0]
    assert "selected by balanced accuracy on validation: threshold.tau=0.6: test balanced accuracy 70.0" in first
    table = settings_table(comparison, str)
    assert table is not None
    assert [column.title for column in table.columns if column.key in ("val", "test")] == [
        "val\nbalanced %",
        "test\nbalanced %",
    ]
    assert "best/val/balanced_accuracy" in run_lines(comparison, tmp_path)[0]


def test_ensemble_in_balanced_accuracy_has_this_name_in_exports(tmp_path: Path) -> None:
    comparison = sweep(tmp_path, "balanced_accuracy", (0.9, 0.6))
    comparison = replace(comparison, rows=[replace(row, ensemble=0.7) for row in comparison.rows])
    comparison = replace(comparison, references=[replace(each, ensemble=0.5) for each in comparison.references])
    exported = json.loads(as_json([(comparison, "")], tmp_path))
    flat, (values, *_) = row_lines(comparison)[0], gain_values(comparison).values()
    for line in (exported["rows"][0], exported["references"][0], flat):
        assert line["ensemble/test/balanced_accuracy"] in (0.7, 0.5)
        assert "ensemble/test/accuracy" not in line
    assert exported["references"][0]["balanced_accuracy"]["mean"] == pytest.approx(0.5)
    assert {line["gains_measured_in"] for line in (flat, *run_lines(comparison, tmp_path))} == {"balanced_accuracy"}
    assert values["setting/ensemble/test/balanced_accuracy"] == 0.7
    assert values["setting/gains_measured_in"] == "balanced_accuracy"
    for table in (settings_table(comparison, str), references_table(comparison)):
        assert table is not None
        assert [each.title for each in table.columns if each.key == "ensemble"] == ["ensemble test\nbalanced %"]


def test_the_lowest_loss_is_the_best_and_gains_are_in_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = sweep(tmp_path, "loss", (0.9, 0.6), (0.8, 0.3))
    assert comparison.best is not None
    assert comparison.best.settings == {"threshold.tau": 0.6}
    assert comparison.best.gains[CONTROL].mean == pytest.approx(30)
    table = settings_table(comparison, str)
    assert table is not None
    titles = [column.title for column in table.columns]
    assert titles[3:6] == ["val\nloss", "val %", "test %"]
    assert [cell.text for cell in table.rows[0].cells][3:6] == ["0.300", "80.0 ± 0.0", "80.0 ± 0.0"]
    monkeypatch.setattr("semisup.report.files._try_to_draw", lambda name, draw: (b"", ""))
    compare([tmp_path / "mine"], Console(file=(file := io.StringIO()), width=120))
    assert "selected by loss on validation" in file.getvalue()
    assert "training on labels only does better" not in file.getvalue(), "the loss of the control is higher"
    page = comparison_page([(comparison, "")], tmp_path).decode()
    assert re.search(r'data-key="loss"[^>]* aria-sort="ascending"', page)
    assert "best validation accuracy" not in page


def test_runs_with_several_metrics_are_ranked_by_accuracy_with_a_sentence(tmp_path: Path) -> None:
    for number, metric in enumerate(("accuracy", "macro_f1")):
        scored(tmp_path, plain_of(f"train.select_by={metric}"), val=0.9 - number / 10, macro_f1=0.5 + number / 10)
    comparison = compare_runs(read_runs(find_runs([tmp_path])))
    assert comparison.best is not None
    assert comparison.best.settings == {"train.select_by": "accuracy"}
    assert summary_sentence(comparison).splitlines()[-1] == (
        "The runs have several values of train.select_by (accuracy and macro_f1), so the settings are "
        "ranked by accuracy."
    )


def test_runs_without_the_metric_are_ranked_by_accuracy(tmp_path: Path) -> None:
    comparison = sweep(tmp_path, "macro_f1", (0.9, 0.6))
    assert comparison.select_by == "macro_f1"
    assert comparison.selection_note == ""
    make(tmp_path / "mine", plain_of("threshold.tau=0.9", "train.select_by=macro_f1"))
    comparison = compare_runs(read_runs(find_runs([tmp_path])))
    assert comparison.select_by == "accuracy"
    assert summary_sentence(comparison).splitlines()[-1] == (
        "1 of 5 finished runs did not record macro F1 (train.select_by), so the settings are ranked by accuracy."
    )


def test_the_best_labels_only_runs_are_chosen_by_the_metric(tmp_path: Path) -> None:
    plain = plain_of("train.select_by=balanced_accuracy")
    scored(tmp_path, plain, balanced_accuracy=0.8)
    scored(tmp_path, control_config(plain, SUMMARY), val=0.9, balanced_accuracy=0.6)
    other = labels_only_configs(plain, SUMMARY)["labels_only_none"]
    scored(tmp_path, other, val=0.7, balanced_accuracy=0.7)
    (row,) = compare_runs(read_runs(find_runs([tmp_path]))).rows
    assert row.labels_only[0].points == pytest.approx(10)


def predicted(folder: Path, targets: list[int], correct: list[bool], select_by: str) -> Run:
    """Store predictions of test images, and the same ones of validation images."""
    probabilities = numpy.eye(3)[
        [each if right else (each + 1) % 3 for each, right in zip(targets, correct, strict=True)]
    ]
    run = store(folder, probabilities, targets, validation=[*zip(targets, correct, strict=True)])
    return replace(run, select_by=select_by)


def test_the_mean_of_weighted_images_is_the_gain_in_balanced_accuracy(tmp_path: Path) -> None:
    targets = [0] * 8 + [1] * 2
    folders = [make(tmp_path / name, plain_of()) for name in "ab"]
    correct = ([True] * 6 + [False] * 2 + [True, True], [True] * 8 + [False, False])
    runs = [
        predicted(folder, targets, each, "balanced_accuracy") for folder, each in zip(folders, correct, strict=True)
    ]
    means = shared_image_means([Pair(runs[0], runs[1], 0.0)], "test", StoredPredictions())
    assert means is not None
    assert numpy.mean(means) == pytest.approx(100 * ((6 / 8 + 1) / 2 - (1 + 0) / 2))


def test_smaller_validation_sets_select_by_the_metric(tmp_path: Path) -> None:
    targets = [0] * 90 + [1] * 6
    correct: Any = ([True] * 90 + [False] * 6, [True] * 60 + [False] * 30 + [True] * 6)
    for metric, share in (("balanced_accuracy", 1.0), ("loss", None)):
        cells = [
            [predicted(make(tmp_path / metric / f"{number}", plain_of()), targets, each, metric)]
            for number, each in enumerate(correct)
        ]
        stability = selection_stability(cells, 1, StoredPredictions())
        assert [each.share for each in stability] == ([] if share is None else pytest.approx([share] * 3, abs=0.03))


def test_compare_and_advise_need_the_same_number_of_seeds(tmp_path: Path) -> None:
    for seed, test in enumerate((0.70, 0.76, 0.74)):
        plain = plain_of(seed=seed)
        make(tmp_path / "mine", plain, test=test)
        make(tmp_path / "mine", control_config(plain, SUMMARY), test=0.71)
    comparison = compare_runs(read_runs(find_runs([tmp_path])))
    assert comparison.best is not None
    needed = seeds_to_detect(comparison.best.gains[CONTROL], confirmed=False)
    assert needed is not None
    assert needed > 3
    assert f"about {needed} new seeds would detect a gain of this size over the control" in summary_sentence(comparison)
    assert seeds_to_detect(comparison.best.gains[CONTROL], confirmed=True) is None


def test_more_seeds_do_not_make_up_for_few_test_images(tmp_path: Path) -> None:
    """Two images of ten differ, in every seed: the difference over seeds is constant, that over images is not."""
    targets, better = [0] * 10, [True] * 6 + [False] * 4
    for seed in range(3):
        plain = plain_of(seed=seed)
        for config, correct in ((plain, better), (control_config(plain, SUMMARY), better[2:] + better[:2])):
            accuracy = (sum(correct) - (config is not plain)) / 10
            folder = make(tmp_path / "mine", config, test=accuracy)
            predicted(folder, targets, correct, "accuracy")
    comparison = compare_runs(read_runs(find_runs([tmp_path])))
    assert comparison.best is not None
    assert seeds_to_detect(comparison.best.gains[CONTROL], confirmed=False) == math.inf
    assert "even 1,000 new seeds would probably not detect a gain of this size over the control" in summary_sentence(
        comparison
    )
