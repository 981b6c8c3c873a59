"""`semisup compare`: pairing, rows, summary, files and charts, for folders of any content."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
import yaml
from PIL import Image
from rich.console import Console

from semisup.analysis.comparison import Comparison, compare_runs
from semisup.analysis.confirmation import declare
from semisup.analysis.gains import LABELS_ONLY, evidence
from semisup.analysis.run_history import chosen_before_selection
from semisup.analysis.runs import find_runs, read_run, read_runs
from semisup.analysis.spread import over_seeds, summarize
from semisup.cli.compare import compare
from semisup.config.controls import baseline_config, control_config, labels_only_configs
from semisup.config.run_id import run_id
from semisup.errors import DataError, RecordError, SettingError
from semisup.report.figures.heatmap import draw_heatmap, legend
from semisup.report.format_numbers import format_mean_std, mean_gain, missing_reason
from semisup.report.heatmap_grid import CONTROL, SEVERAL, choose_axes, make_grid
from semisup.report.terminal_tables import MAX_ROWS
from semisup.report.wording import summary_sentence
from semisup.runtime.liveness import this_process
from tests import preloaded
from tests.report.run_maker import make, make_with_references, plain_of, store
from tests.tracking.wandb_file import inspect


def compared(*folders: Path) -> Comparison:
    return compare_runs(read_runs(find_runs(list(folders))))


def printed(*folders: Path, width: int = 150) -> str:
    file = io.StringIO()
    assert compare(list(folders), Console(file=file, width=width)) == 0
    return file.getvalue()


@pytest.fixture
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty charts: drawing takes three quarters of the time, and many tests look at the text alone."""
    monkeypatch.setattr("semisup.report.files._try_to_draw", lambda name, draw: (b"", ""))


text_only = pytest.mark.usefixtures("without_charts")


def lines(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "comparison.csv").read_text())))


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture(scope="module")
def made_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thresholds x two strengths x three seeds; validation prefers what test does not."""
    folder = tmp_path_factory.mktemp("made") / "mine"
    for tau, bonus in ((0.8, 0.0), (0.95, 0.04)):
        for strength, val in ((0.25, 0.7), (0.5, 0.8)):
            for seed in (0, 1, 2):
                make_with_references(
                    folder,
                    plain_of(f"threshold.tau={tau}", f"augment.strength={strength}", seed=seed),
                    val=val + bonus,
                    test=0.70 - bonus + strength / 10 + 0.02 * seed,
                    control=0.60 + strength / 10,
                    baseline=0.50,
                    labelings=[(0.1, 0.99), (tau / 2, 0.9)],
                )
    return folder


@pytest.fixture
def sweep(outputs: Path, made_sweep: Path) -> Path:
    """A copy of the sweep."""
    return shutil.copytree(made_sweep, outputs / "mine")


# Beside its control ---------------------------------------------------------------------------------------------------


def test_gain_is_the_difference_to_the_control(outputs: Path) -> None:
    plain = plain_of("threshold.tau=0.9")
    folder = make_with_references(outputs / "mine", plain, test=0.75, control=0.70, baseline=0.55)
    run = read_run(folder)
    summary = json.loads((folder / "summary.json").read_text())
    assert run.control_id == run_id(control_config(plain, summary))
    assert run.baseline_id == run_id(baseline_config(plain, summary))
    (row,) = compared(outputs / "mine").rows
    assert (row.controls[0].state, row.controls[0].other.id) == ("done", run.control_id)
    assert row.controls[0].points == pytest.approx(5.0)
    assert row.baselines[0].points == pytest.approx(20.0)


def test_run_of_another_length_is_not_the_control(outputs: Path) -> None:
    plain = plain_of()
    make(outputs / "mine", plain, steps=1200)
    make(outputs / "mine", control_config(plain, {"steps": 1201}), test=0.7)
    comparison = compared(outputs / "mine")
    (row,) = [row for row in comparison.rows if row.controls]
    assert row.controls[0].state == "missing"
    assert len(comparison.rows) == 2  # a labels-only run that is nobody's control is a row like any other


def test_labels_only_runs_that_follow_the_length_of_the_runs_are_one_setting(outputs: Path) -> None:
    """Self-training takes as many steps as its labelings give, another number for each seed and threshold."""
    for cell, tau in enumerate((0.9, 0.8)):
        for seed in range(3):
            plain, steps = plain_of(f"threshold.tau={tau}", seed=seed), 1200 + 10 * cell + seed
            val = 0.9 - cell / 10
            make_with_references(outputs, plain, val=val, test=0.8, control=0.7, baseline=0.5, steps=steps)
            better = labels_only_configs(plain, {"steps": steps})["labels_only_none"]
            make(outputs, better, val=0.85, test=0.8 - (seed + 1) / 100 - cell / 10, steps=steps)
    comparison = compared(outputs)
    best = comparison.best
    assert best is not None
    assert [gain.finished.number("steps") for gain in best.labels_only] == [1200, 1201, 1202]
    assert [gain.points for gain in best.labels_only] == pytest.approx([1, 2, 3])
    (group,) = [group for group in comparison.references if group.kind == LABELS_ONLY]
    assert group.settings["augment.name"] == "none"
    assert len(group.runs) == 6
    assert comparison.roles[group.runs[0].id] == LABELS_ONLY


def test_gain_and_spread_use_the_differences_seed_by_seed(outputs: Path) -> None:
    for seed, (test, control) in enumerate(((0.50, 0.48), (0.70, 0.66), (0.90, 0.84))):
        make_with_references(outputs / "mine", plain_of(seed=seed), test=test, control=control, baseline=0.4)
    (row,) = compared(outputs / "mine").rows
    found = mean_gain(row.controls)
    assert (found.mean, found.deviation, found.count) == (pytest.approx(4), pytest.approx(2), 3)
    accuracy = row.accuracy("test")
    assert (accuracy.mean, accuracy.deviation) == (pytest.approx(0.7), pytest.approx(0.2))
    assert format_mean_std(found, signed=True) == "+4.0 ± 2.0"


def test_one_seed_has_no_spread() -> None:
    assert summarize([0.5]).deviation is None
    assert summarize([None]) is None
    assert format_mean_std(summarize([0.5]), unit=100) == "50.0"
    assert format_mean_std(summarize([-0.001]), signed=True) == "+0.0"


@text_only
def test_without_a_test_set_validation_is_compared(outputs: Path) -> None:
    make_with_references(outputs / "mine", plain_of(), val=0.8, test=None, control=0.75, baseline=0.6)
    (row,) = compared(outputs / "mine").rows
    assert (row.split, row.controls[0].points) == ("validation", pytest.approx(5.0))
    text = printed(outputs / "mine", width=1000)
    assert "validation accuracy 80.0 % (there is no test set)" in text
    assert "so it is optimistic" in text


@text_only
def test_missing_control_is_reported_with_the_remedy(outputs: Path) -> None:
    make_with_references(outputs / "mine", plain_of(), test=0.7, control=None, baseline=0.6)
    text = printed(outputs / "mine", width=1000)
    assert "no control" in text
    assert "sweep.control=true" in text
    assert "+10.0" in text  # the baseline is there
    assert "Unlabeled images: no control, so their effect is unknown." in text


@text_only
def test_pending_controls_of_a_sweep_are_reported_as_pending(outputs: Path) -> None:
    """After Ctrl-C the same command goes on with them; a sweep without controls must be told to want them."""
    plain = plain_of()
    run = make(outputs / "mine", plain)
    assert "sweep.control=true" in printed(outputs / "mine", width=1000)
    jobs = outputs / "mine" / "sweeps" / "one" / "jobs"
    jobs.mkdir(parents=True)
    assert "yet" not in printed(outputs / "mine", width=1000), "a sweep of other runs"
    (jobs / "00000.json").write_text(json.dumps({"status": "done", "folder": f"elsewhere/{run.name}"}))
    text = printed(outputs / "mine", width=1000)
    assert "1 of 1 run has no control or no baseline yet: the same train command again trains them" in text
    plain["sweep"]["control"] = False
    (run / "config.yaml").write_text(yaml.safe_dump(plain))
    assert "sweep.control=true" in printed(outputs / "mine", width=1000)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "semisup train threshold.tau=0.9 'dataset.root='\"'\"'my photos'\"'\"''",
            "semisup train -m threshold.tau=0.9 'dataset.root='\"'\"'my photos'\"'\"''",
        ),
        ("semisup train -m seed=1 sweep.control=false hydra.verbose=true", "semisup train -m seed=1"),
        ("semisup train seed=1; rm -r x", "repeat the command with -m and sweep.control=true; it reuses finished runs"),
        ("semisup train 'seed=1; rm -rf x'", "semisup train -m 'seed=1; rm -rf x'"),
    ],
)
def test_single_run_gets_the_command_that_trains_its_references(outputs: Path, command: str, expected: str) -> None:
    run = make(outputs / "mine", plain_of())
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | {"command": command}))
    (line,) = [line for line in printed(outputs / "mine", width=1000).splitlines() if "or no baseline" in line]
    assert line.startswith("1 of 1 run has no control or no baseline")
    assert line.endswith(f": {expected}")


def test_failed_control_is_reported(outputs: Path) -> None:
    plain = plain_of()
    make_with_references(outputs / "mine", plain, test=0.7, control=None, baseline=0.6)
    make(outputs / "mine", control_config(plain, {"steps": 1200}), status="diverged")
    comparison = compared(outputs / "mine")
    assert missing_reason(comparison.rows[0].controls, "control") == "control diverged"
    assert [comparison.roles.get(run.id, "run") for run in comparison.unfinished] == ["run"]
    assert len(comparison.rows) == 1


@text_only
def test_gain_counts_the_seeds_that_have_a_control(outputs: Path) -> None:
    for seed, control in ((0, 0.7), (1, None), (2, 0.66)):
        make_with_references(outputs / "mine", plain_of(seed=seed), test=0.72, control=control, baseline=0.6)
    (row,) = compared(outputs / "mine").rows
    assert mean_gain(row.controls).mean == pytest.approx(4)
    assert "(2 of 3 seeds)" in printed(outputs / "mine", width=1000)


def test_controls_are_listed_by_strength_with_the_baseline_last(sweep: Path) -> None:
    references = compared(sweep).references
    assert [each.kind for each in references] == ["control", "control", "best labels-only", "baseline"]
    assert [each.settings for each in references[:2]] == [{"augment.strength": 0.25}, {"augment.strength": 0.5}]
    assert [each.accuracy.mean for each in references] == [pytest.approx(value) for value in (0.625, 0.65, 0.65, 0.5)]
    assert [each.accuracy.count for each in references] == [3, 3, 3, 3]


@text_only
def test_controls_of_several_lengths_count_once_for_each_seed(outputs: Path) -> None:
    for seed in (0, 1):
        for tau, steps, control in ((0.8, 1000, 0.6), (0.9, 2000, 0.8)):
            plain = plain_of(f"threshold.tau={tau}", seed=seed)
            make_with_references(outputs / "mine", plain, test=0.9, control=control, baseline=0.5, steps=steps)
    control = compared(outputs / "mine").references[0]
    assert len(control.runs) == 4
    assert over_seeds(control.runs, "test") == summarize([0.7, 0.7])
    assert "1000-2000" in printed(outputs / "mine")


def test_controls_that_would_look_the_same_are_told_apart(outputs: Path) -> None:
    for method in ("fixmatch", "noisy_student"):
        make_with_references(outputs / "mine", plain_of(f"method={method}"), test=0.8, control=0.7, baseline=0.5)
    comparison = compared(outputs / "mine")
    controls = [group.settings for group in comparison.references if group.kind == "control"]
    assert len(controls) == 2
    assert controls[0] != controls[1], comparison.columns


def test_ensembles_of_rows_and_references_are_shown(outputs: Path) -> None:
    """The mean of two seeds' probabilities is correct on 3 of 4 images; each seed is on 2 and on 1."""
    probabilities = (
        [[0.6, 0.3, 0.1], [0.6, 0.4, 0.0], [0.1, 0.2, 0.7], [0.4, 0.6, 0.0]],
        [[0.2, 0.5, 0.3], [0.1, 0.7, 0.2], [0.4, 0.3, 0.3], [0.3, 0.7, 0.0]],
    )
    for seed, each in enumerate(probabilities):
        plain = plain_of(seed=seed)
        folder = make_with_references(outputs / "mine", plain, test=0.75, control=0.7, baseline=0.5)
        for run in (folder, outputs / "mine" / run_id(control_config(plain, {"steps": 1200}))):
            store(run, numpy.array(each), (0, 1, 2, 0))
    text = printed(outputs / "mine")
    assert len(re.findall(r"\bensemble\b", text)) == 2, "the settings and the references"
    settings, references = text.split("References of the gains")
    assert "  75.0  +5.0" in re.sub(r"±  *\S+", "", settings)
    assert [line.split()[-2:] for line in references.splitlines() if line.startswith(" control")] == [["75.0", "1200"]]
    content = json.loads((outputs / "mine" / "comparison.json").read_text())
    assert content["rows"][0]["ensemble/test/accuracy"] == 0.75
    kinds = {each["kind"]: each["ensemble/test/accuracy"] for each in content["references"]}
    assert (kinds["control"], kinds["baseline"]) == (0.75, None)
    assert 'data-key="ensemble"' in (outputs / "mine" / "report.html").read_text()
    assert "more labels than a run" not in text
    store(folder, numpy.array(probabilities[1]), (0, 1, 2, 0), fingerprint="other labels")
    assert "an ensemble of several seeds has learned from more labels than" in printed(outputs / "mine", width=1000)


def test_no_ensemble_is_shown_without_probabilities(sweep: Path) -> None:
    assert not re.search(r"\bensemble\b", printed(sweep))
    assert 'data-key="ensemble"' not in (sweep / "report.html").read_text()


def test_selection_by_fewer_validation_images_is_shown(outputs: Path) -> None:
    for tau, correct in ((0.9, 90), (0.5, 84)):
        folder = make(outputs / "mine", plain_of(f"threshold.tau={tau}"), val=correct / 120)
        store(folder, validation=[(number % 3, number < correct) for number in range(120)])
    text = printed(outputs / "mine", width=1000)
    (line,) = [line for line in text.splitlines() if line.startswith("Selection: ")]
    content = json.loads((outputs / "mine" / "comparison.json").read_text())
    shares = [round(100 * each["share"]) for each in content["same_selection"]]
    assert [each["per_class"] for each in content["same_selection"]] == [4, 10, 25]
    assert line == (
        "Selection: with 4, 10 or 25 validation images per class instead of all 200, the same setting would have been "
        f"selected in {shares[0]}, {shares[1]} and {shares[2]} % of draws."
    )
    assert shares == sorted(shares)
    assert line in (outputs / "mine" / "report.html").read_text()


# Rows -----------------------------------------------------------------------------------------------------------------


def test_differing_settings_are_columns_and_seeds_one_row(sweep: Path) -> None:
    comparison = compared(sweep)
    assert comparison.columns == ["threshold.tau", "augment.strength"]
    assert [len(row.runs) for row in comparison.rows] == [3, 3, 3, 3]
    assert [run.seed for run in comparison.rows[0].runs] == [0, 1, 2]


def test_rows_are_sorted_by_validation_accuracy(sweep: Path) -> None:
    rows = compared(sweep).rows
    assert [tuple(row.settings.values()) for row in rows] == [(0.95, 0.5), (0.8, 0.5), (0.95, 0.25), (0.8, 0.25)]
    assert rows[0].accuracy("test").mean < rows[1].accuracy("test").mean


def test_equal_validation_accuracy_is_ordered_by_settings(outputs: Path) -> None:
    for tau, test in ((0.9, 0.9), (0.7, 0.6)):
        make(outputs / "mine", plain_of(f"threshold.tau={tau}"), val=0.8, test=test)
    assert compared(outputs / "mine").best.settings == {"threshold.tau": 0.7}


def test_row_has_means_and_the_last_labeling(sweep: Path) -> None:
    row = compared(sweep).rows[0]
    assert (row.mean("pseudo/coverage"), row.mean("pseudo/accuracy")) == (pytest.approx(0.475), pytest.approx(0.9))
    assert (row.mean("steps"), row.mean("seconds")) == (1200, 12.5)


def test_missing_labeling_is_none(outputs: Path) -> None:
    make(outputs / "mine", plain_of(), labelings=[])
    assert compared(outputs / "mine").rows[0].mean("pseudo/coverage") is None


def test_early_labeling_is_found_in_a_long_file(outputs: Path) -> None:
    folder = make(outputs / "mine", plain_of(), labelings=[(0.25, None)])
    with open(folder / "metrics.jsonl", "a") as file:
        rows = (f'{{"step": {step}, "epoch": 1, "val/accuracy": 0.5}}\n' for step in range(100, 100 + 2**18 // 20))
        file.writelines(rows)
    assert read_run(folder).labeling["pseudo/coverage"] == 0.25


def test_split_seed_is_a_setting_only_if_it_differs_from_the_seed(outputs: Path) -> None:
    for seed in (0, 1):
        make(outputs / "follows", plain_of(seed=seed))
        make(outputs / "fixed", plain_of("dataset.split_seed=7", seed=seed))
    assert [len(row.runs) for row in compared(outputs / "follows").rows] == [2]
    both = compared(outputs)
    assert both.columns == ["dataset.split_seed"]
    assert sorted(len(row.runs) for row in both.rows) == [1, 1, 2]


def test_integer_and_equal_float_are_one_setting(outputs: Path) -> None:
    make(outputs / "mine", plain_of("augment.strength=1", seed=0))
    make(outputs / "mine", plain_of("augment.strength=1.0", seed=1))
    comparison = compared(outputs / "mine")
    assert comparison.columns == []
    assert [len(row.runs) for row in comparison.rows] == [2]


@text_only
def test_labels_only_runs_are_rows(outputs: Path) -> None:
    for rate in (0.001, 0.01):
        make(outputs / "mine", plain_of("method=supervised", f"optimizer.lr={rate}"), val=0.7 + rate)
    comparison = compared(outputs / "mine")
    assert comparison.columns == ["optimizer.lr"]
    assert comparison.best.settings == {"optimizer.lr": 0.01}
    assert "over the control" not in summary_sentence(comparison)
    printed(outputs / "mine")


@text_only
def test_differing_lists_are_a_column(outputs: Path) -> None:
    for widths in ("[8,16]", "[16,32]"):
        make(outputs / "mine", plain_of(f"model.widths={widths}"))
    assert compared(outputs / "mine").columns == ["model.widths"]
    assert "[8, 16]" in printed(outputs / "mine")


@text_only
def test_policies_are_rows(outputs: Path) -> None:
    for policy in ("fixed", "quantile", "ramp"):
        make(outputs / "mine", plain_of(f"threshold={policy}"))
    comparison = compared(outputs / "mine")
    assert comparison.columns == ["threshold.name", "threshold.tau"]
    printed(outputs / "mine")


@pytest.mark.parametrize(
    ("default", "other"),
    [
        ("reject=none", "reject=energy"),
        ("debias=none", "debias=debiaspl"),
        ("loss=cross_entropy", "loss=class_weights"),
    ],
)
@text_only
def test_option_without_effect_is_a_value_of_its_column(outputs: Path, default: str, other: str) -> None:
    """The run id of the default is what it was before the group existed; the table names the option."""
    for number, option in enumerate((default, other)):
        make_with_references(
            outputs, plain_of("method=fixmatch", option), test=0.8, control=0.7, baseline=0.5, val=0.9 - 0.1 * number
        )
    comparison = compared(outputs)
    group = default.partition("=")[0]
    assert comparison.columns == [f"{group}.name"]
    assert [f"{group}={row.settings[f'{group}.name']}" for row in comparison.rows] == [default, other]
    controls = [each for each in comparison.references if each.kind == "control"]
    named = {each.settings.get(f"{group}.name") for each in controls}
    assert named == ({"cross_entropy", "class_weights"} if group == "loss" else {None})
    assert f"{group}.name" in printed(outputs)


# Folders --------------------------------------------------------------------------------------------------------------


@text_only
def test_single_run_finds_its_control(outputs: Path) -> None:
    folder = make_with_references(outputs / "mine", plain_of(), test=0.75, control=0.7, baseline=0.5)
    make(outputs / "mine", plain_of("threshold.tau=0.5"))
    text = printed(folder, width=1000)
    assert "this setting is 5.0 points better than the control" in text
    assert len(lines(folder.parent)) == 3
    assert not (folder / "comparison.csv").exists()


@text_only
def test_several_folders_are_compared_together(outputs: Path) -> None:
    for name, tau in (("first", 0.8), ("second", 0.9)):
        make(outputs / name, plain_of(f"threshold.tau={tau}"))
    for walked_past in ("first/sweeps/20250101", "wandb/offline", ".cache/x", "first/.hidden"):
        (outputs / walked_past).mkdir(parents=True)
    printed(outputs / "first", outputs / "second")
    assert len(lines(outputs / "first")) == 2
    assert not (outputs / "second" / "comparison.csv").exists()
    printed(outputs)
    assert [line["folder"].split("/")[0] for line in lines(outputs)] == ["first", "second"]


def test_repeated_run_is_counted_once(outputs: Path) -> None:
    folder = make(outputs / "mine", plain_of())
    assert len(find_runs([outputs, outputs / "mine", folder])) == 1
    shutil.copytree(outputs / "mine", outputs / "copy")
    comparison = compared(outputs)
    assert len(comparison.runs) == 2
    assert [len(row.runs) for row in comparison.rows] == [1]


def test_folder_without_runs_is_an_error(outputs: Path) -> None:
    with pytest.raises(DataError, match="outputs: there is no such folder"):
        find_runs([outputs])
    (outputs / "mine").mkdir(parents=True)
    with pytest.raises(DataError, match="mine: contains no runs"):
        printed(outputs / "mine")


def test_unwritable_folder_is_an_error_after_the_tables(outputs: Path) -> None:
    make(outputs / "mine", plain_of())
    (outputs / "mine" / "comparison.csv").mkdir()
    file = io.StringIO()
    with pytest.raises(RecordError, match=r"comparison\.csv: cannot be written"):
        compare([outputs / "mine"], Console(file=file, width=100))
    assert "test accuracy" in file.getvalue()


# Several data sets ----------------------------------------------------------------------------------------------------


def of_mnist(*overrides: str, seed: int = 0, **more: Any) -> Any:
    plain = plain_of(*overrides, seed=seed)
    plain["dataset"] |= {"name": "mnist", "root": "/elsewhere/mnist"} | more
    return plain


def test_data_sets_are_compared_separately(outputs: Path) -> None:
    for seed in (0, 1):
        make_with_references(outputs / "one", plain_of(seed=seed), val=0.7, test=0.7, control=0.6, baseline=0.5)
    for tau in (0.8, 0.9):
        make(outputs / "two", of_mnist(f"threshold.tau={tau}"), val=0.99 - tau / 100, test=0.98)
    make(outputs / "two", of_mnist("threshold.tau=0.5"), status="failed")
    (outputs / "three" / "broken").mkdir(parents=True)
    (outputs / "three" / "broken" / "run.json").write_text("{")
    text = printed(outputs / "one", outputs / "two", outputs / "three", width=1000)
    outputs /= "one"
    assert "digits: One setting" in text
    assert "mnist: Best of 2 settings, selected on validation: threshold.tau=0.8" in text
    assert "unreadable data set: No run is finished yet: 1 unreadable" in text
    assert text.index("70.0") < text.index("98.2"), "in the order of their names, not of an accuracy"
    runs = pandas.read_csv(outputs / "comparison.csv")
    assert runs.groupby("dataset").size().to_dict() == {"digits": 6, "mnist": 3}
    assert runs[runs["dataset"] == "digits"]["threshold.tau"].isna().all(), "a column of the other"
    found = json.loads((outputs / "comparison.json").read_text())
    assert [part["dataset"] for part in found["data_sets"]] == ["digits", "mnist", "unreadable data set"]
    assert found["data_sets"][1]["columns"] == ["threshold.tau"]
    assert [len(part["rows"]) for part in found["data_sets"]] == [1, 2, 0]
    assert len(found["runs"]) == 10
    page = (outputs / "report.html").read_text()
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert {"runs", "runs-1", "runs-2", "settings-1", "data-set", "data-set-1"} <= set(ids)
    assert page.index('id="runs"') < page.index('id="data-set-1"') < page.index('id="runs-1"')
    size, _ = colors_of((outputs / "comparison.png").read_bytes())
    assert size[0] == 1400


def sweep_with_confirmation(outputs: Path) -> None:
    """Two settings with the same validation accuracy; the confirmed one is worse with its new seeds."""
    for tau in (0.8, 0.9):
        for seed in (0, 1):
            config = plain_of("method=self_training", f"threshold.tau={tau}", seed=seed)
            make_with_references(outputs / "a", config, val=0.9, test=0.8, control=0.7, baseline=0.5)
    plan = declare(compared(outputs / "a"), outputs / "a", 3)
    assert plan.settings == {"threshold.tau": 0.8}
    for seed in plan.seeds:
        config = plain_of("method=self_training", "threshold.tau=0.8", seed=seed)
        make_with_references(outputs / "a_confirm", config, val=0.85, test=0.75, control=0.7, baseline=0.5)


@text_only
def test_experiments_in_one_folder_are_compared_separately(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep_with_confirmation(outputs)
    make_with_references(outputs / "b", plain_of("method=fixmatch"), val=0.95, test=0.9, control=0.7, baseline=0.5)
    monkeypatch.chdir(outputs.parent)
    text = printed(Path("outputs"), width=1000)
    sentences = [line for line in text.splitlines() if line.startswith("outputs/")]
    assert sentences == [
        "outputs/a: Confirmed on 3 fresh seeds: threshold.tau=0.8: test accuracy 75.0 ± 0.0 %.",
        "outputs/a_confirm: Confirmed on 3 fresh seeds: threshold.tau=0.8: test accuracy 75.0 ± 0.0 %.",
        "outputs/b: One setting: test accuracy 90.0 % with one seed.",
    ]
    assert "Best of 2 settings, selected on validation: threshold.tau=0.8" in text
    assert "each experiment is compared separately; in one table: semisup compare outputs/a outputs/b\n" in text
    found = json.loads((outputs / "comparison.json").read_text())["data_sets"]
    assert [(part["experiment"], part["dataset"]) for part in found] == [
        ("a", "digits"), ("a_confirm", "digits"), ("b", "digits")
    ]  # fmt: skip
    assert [len(part["rows"]) for part in found] == [2, 1, 1]


@text_only
def test_runs_of_several_named_folders_are_one_table_without_confirmations(outputs: Path) -> None:
    sweep_with_confirmation(outputs)
    make_with_references(outputs / "b", plain_of("method=fixmatch"), val=0.95, test=0.9, control=0.7, baseline=0.5)
    printed(outputs / "a", outputs / "a_confirm", outputs / "b", width=1000)
    found = json.loads((outputs / "a" / "comparison.json").read_text())["data_sets"]
    assert [len(part["rows"]) for part in found] == [3, 1]
    assert {line["seed"] for line in lines(outputs / "a") if line["folder"].startswith("../a_confirm")} == set("234")


@text_only
def test_confirmed_setting_is_named_although_another_one_is_now_the_best(outputs: Path) -> None:
    sweep_with_confirmation(outputs)
    for seed in (0, 1):
        config = plain_of("method=self_training", "threshold.tau=0.7", seed=seed)
        make_with_references(outputs / "a", config, val=0.9, test=0.9, control=0.7, baseline=0.5)
    text = printed(outputs / "a", width=1000)
    assert "Confirmed on 3 fresh seeds: threshold.tau=0.8: test accuracy 75.0 ± 0.0 %." in text
    assert "The sweep had overstated it by 5.0 points." in text, "against the same setting"
    assert "In the sweep, threshold.tau=0.7 has the same validation score; it is not confirmed." in text
    assert re.search(r"look at the best run:   semisup show \S*self_training-fixed-0.8-", text)
    for path in (outputs / "a").glob("self_training-fixed-0.7-*/summary.json"):
        path.write_text(path.read_text().replace('"best/val/accuracy": 0.9', '"best/val/accuracy": 0.95'))
    text = printed(outputs / "a", width=1000)
    assert "In the sweep, threshold.tau=0.7 is now better on validation; it is not confirmed." in text


@text_only
def test_root_distinguishes_data_sets(outputs: Path) -> None:
    roots = ("/a/photos", "/b/photos", "/a/drawings")
    folders = [
        make(outputs / root.replace("/", ""), of_mnist("threshold.tau=0.8", name="folder", root=root)).parent
        for root in roots
    ]
    assert "folder (photos): One setting" in printed(*folders, width=1000)
    rows = json.loads((folders[0] / "comparison.json").read_text())["data_sets"]
    assert [len(part["rows"]) for part in rows] == [1, 1], "a data set that was moved is the same"


def test_splits_of_one_data_set_are_settings(outputs: Path) -> None:
    for number in (2, 4):
        for seed in (0, 1):
            make(outputs / "mine", plain_of(f"dataset.labels_per_class={number}", seed=seed))
    comparison = compared(outputs)
    assert comparison.columns == ["dataset.labels_per_class"]
    assert [len(row.runs) for row in comparison.rows] == [2, 2]


@text_only
def test_best_labels_only_run_has_as_many_labels_as_the_run(outputs: Path) -> None:
    for number, alone in ((2, 0.6), (4, 0.7)):
        for seed in (0, 1):
            config = plain_of("method=self_training", f"dataset.labels_per_class={number}", seed=seed)
            make_with_references(outputs / "mine", config, val=alone, test=alone + 0.1, control=alone, baseline=0.5)
    comparison = compared(outputs / "mine")
    gains = {row.settings["dataset.labels_per_class"]: row.gains["best labels-only"].mean for row in comparison.rows}
    assert gains == pytest.approx({2: 10, 4: 10}), "not over the runs with 4 labels"
    other = labels_only_configs(plain_of("dataset.labels_per_class=4"), {"steps": 1200})["labels_only_none"]
    unused = read_run(make(outputs / "mine", other, val=0.1, test=0.1))
    assert compared(outputs / "mine").roles[unused.id] == "labels-only"
    groups = [group for group in comparison.references if group.kind == "best labels-only"]
    assert [group.settings["dataset.labels_per_class"] for group in groups] == [2, 4]
    text = printed(outputs / "mine", width=1000)
    assert "Compared with labels alone: no other labels-only run is better on validation than the control." in text


@text_only
def test_changed_images_are_reported(outputs: Path) -> None:
    for number, fingerprint in enumerate(("a", "a", "b")):
        run = make(outputs / "mine", plain_of(f"threshold.tau=0.{number + 5}"))
        about = json.loads((run / "run.json").read_text()) | {"dataset": {"fingerprint": fingerprint}}
        (run / "run.json").write_text(json.dumps(about))
        assert ("digits changed between these runs" in printed(outputs, width=1000)) == (fingerprint == "b")


# Failures are rows ----------------------------------------------------------------------------------------------------

BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nseed: 0\n"
SUMMARY = {"steps": 10, "labeled_steps": 5, "best/val/accuracy": 0.5}

BROKEN: list[tuple[str, str | None, str]] = [
    ("config.yaml", None, "config.yaml is missing"),
    ("config.yaml", "", "the file has no settings"),
    ("config.yaml", "seed: [", "config.yaml"),
    ("config.yaml", "seed: !!python/object/apply:os.system ['true']", "has the YAML tag"),
    ("config.yaml", BOMB, "anchor"),
    ("config.yaml", "seed: 0", "is missing"),
    ("config.yaml", "\x00", "config.yaml"),
    ("run.json", None, "run.json is missing"),
    ("run.json", "", "run.json: is empty"),
    ("run.json", '{"status": "do', "run.json: is not JSON"),
    ("run.json", "[" * 100_000, "run.json: is not JSON"),
    ("run.json", '{"status": "dancing"}', "the status dancing is unknown"),
    ("summary.json", None, "summary.json is missing"),
    ("summary.json", '{"steps": 10', "summary.json: is not JSON, or truncated"),
    ("summary.json", "[1]", "not a JSON object"),
    ("summary.json", json.dumps(SUMMARY | {"steps": None}), "the value of steps is not a number"),
    (
        "summary.json",
        json.dumps(SUMMARY | {"best/val/accuracy": 10**400}),
        "the value of best/val/accuracy is not a number",
    ),
    ("summary.json", json.dumps(SUMMARY | {"test/accuracy": 75.0}), "test/accuracy is not in [0, 1]"),
    ("metrics.jsonl", None, "metrics.jsonl is missing"),
    ("metrics.jsonl", '{"pseudo/round": 1, "pseudo/cov', "metrics.jsonl: is not JSON"),
]


@pytest.mark.parametrize(("name", "content", "reason"), BROKEN, ids=[f"{name}-{why}" for name, _, why in BROKEN])
def test_broken_file_makes_a_row(
    outputs: Path, name: str, content: str | None, reason: str, request: pytest.FixtureRequest
) -> None:
    if (name, content, reason) != BROKEN[0]:  # the charts show every unreadable run in the same way
        request.getfixturevalue("without_charts")
    broken = make(outputs / "mine", plain_of("threshold.tau=0.7"))
    make(outputs / "mine", plain_of("threshold.tau=0.8"))
    (broken / name).unlink() if content is None else (broken / name).write_text(content)
    text = printed(outputs / "mine", width=300)
    comparison = compared(outputs / "mine")
    assert [run.status for run in comparison.unfinished] == ["unreadable"]
    assert len(comparison.rows) == 1
    assert reason in comparison.unfinished[0].reason
    assert comparison.unfinished[0].reason in text
    assert {line["status"] for line in lines(outputs / "mine")} == {"done", "unreadable"}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": [0]},
        {"seed": None},
        {"method": {"name": "of_another_version"}},
        {"method": 3},
        {"augment": {"name": "none", "strength": "strong"}},
        {"dataset": {"root": 3}},
        {"device": None, "threshold": None},
    ],
    ids=str,
)
@text_only
def test_config_of_the_wrong_shape_makes_a_row(outputs: Path, change: dict[str, Any]) -> None:
    folder = make(outputs / "mine", plain_of())
    (folder / "config.yaml").write_text(json.dumps(plain_of() | change))
    (run,) = compared(outputs / "mine").unfinished
    assert run.status == "unreadable"
    assert run.reason.startswith("config.yaml")
    assert "No run is finished" in printed(outputs / "mine")


def test_unfinished_runs_are_rows_with_the_reason(outputs: Path) -> None:
    error = {"kind": "OutOfMemoryError", "message": "x" * 2000}
    make(outputs / "mine", plain_of("threshold.tau=0.5"), status="failed", error=error)
    make(outputs / "mine", plain_of("threshold.tau=0.6"), status="diverged", error={"kind": "D", "message": "step 3"})
    make(outputs / "mine", plain_of("threshold.tau=0.7"), status="interrupted", error={"kind": "K", "message": ""})
    killed = make(outputs / "mine", plain_of("threshold.tau=0.8"), status="running")
    comparison = compared(outputs / "mine")
    reasons = {run.status: run.reason for run in comparison.unfinished}
    assert reasons["failed"].startswith("OutOfMemoryError: xxx")
    assert len(reasons["failed"]) < 150
    assert (reasons["diverged"], reasons["interrupted"]) == ("step 3", "K")
    assert "not running" in reasons["running"]
    (killed / "owner.json").write_text("{}")
    assert read_run(killed).reason.startswith("locked by another process, which may be running on another machine")
    here = "import json; from semisup.runtime.liveness import this_process; print(json.dumps(this_process()))"
    dead = subprocess.run([sys.executable, "-c", here], capture_output=True, check=True).stdout
    for owner, said in ((dead, "not running"), (json.dumps(this_process()).encode(), "in progress")):
        (killed / "owner.json").write_bytes(owner)
        assert read_run(killed).reason.startswith(said), "as soon as it died, on the machine where it was"
    text = printed(outputs / "mine", width=200)
    (line,) = [line.split() for line in text.splitlines() if " diverged " in line]
    assert line[1:] == ["diverged", "0.6", "step", "3"]
    assert "No run is finished yet: 1 failed, 1 diverged, 1 interrupted, 1 running." in text
    assert (outputs / "mine" / "comparison.png").stat().st_size > 1000


@pytest.mark.parametrize("terminal", [True, False])
def test_text_of_a_run_is_escaped_on_the_terminal(outputs: Path, terminal: bool) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\r\x9b31m [bold]mark[/up] \u202e"
    plain = plain_of()
    plain["dataset"]["split_seed"] = evil
    make(outputs / "mine", plain, status="failed", error={"kind": evil, "message": evil})
    make(outputs / "mine", plain_of("threshold.tau=0.5"))
    strange = make(
        outputs / "mine", plain_of("threshold.tau=0.6"), status="failed", error={"kind": "a", "message": evil}
    )
    strange.rename(strange.with_name("odd\x1b[2J"))
    (outputs / "mine" / "odd\x1b[2J" / "config.yaml").unlink()
    file = io.StringIO()
    compare([outputs / "mine"], Console(file=file, width=200, force_terminal=terminal))
    text = file.getvalue()
    assert not any(each in text for each in ("\x1b]", "\x1b[2J", "\x07", "\r", "\x9b", "\u202e"))
    assert "[bold]mark[/up]" in text
    if not terminal:
        assert "\x1b" not in text


# What it comes to -----------------------------------------------------------------------------------------------------


def test_early_best_weights_are_reported(outputs: Path) -> None:
    """The chosen weights are of step 10; the pool is labeled at steps 0, 10, 20 and 30."""
    for seed, coverages in ((0, (0.0, 0.0, 0.3, 0.3)), (1, (0.4, 0.4, 0.4, 0.4))):
        told = [(coverage, 0.9) for coverage in coverages]
        plain = plain_of(seed=seed)
        make_with_references(outputs / "mine", plain, test=0.75, control=0.7, baseline=0.5, labelings=told)
    text = summary_sentence(compared(outputs / "mine"))
    assert "The best weights of 1 of 2 seeds are of step 10, before the first pseudo-label was used (step 20)." in text


@pytest.mark.parametrize(("loss", "early"), [(1.2, None), (None, (10.0, 10.0))])
def test_online_labels_used_up_to_the_best_step_are_not_late(
    outputs: Path, loss: float | None, early: tuple[float, float] | None
) -> None:
    """A method that labels at every step tells at an evaluation of labels that the steps before it used."""
    folder = make(outputs / "mine", plain_of())
    rows = [
        {"step": 10, "epoch": 1, "train/unlabeled_loss": loss, "val/accuracy": 0.8},
        {"step": 10, "epoch": 1, "pseudo/round": 1, "pseudo/coverage": 0.5},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert chosen_before_selection(read_run(folder)) == early


@pytest.mark.parametrize("width", [40, 80, 100, 200])
@text_only
def test_table_fits_the_terminal(sweep: Path, width: int) -> None:
    text = printed(sweep, width=width)
    assert ("+8.0 ± 2.0" in text) or width < 80
    assert ("seconds" in text) == (width == 200)
    table = text.split("wrote")[0]
    assert max(len(line) for line in table.splitlines()) <= width


@text_only
def test_next_command_names_the_best_run(sweep: Path) -> None:
    (line,) = [line for line in printed(sweep).splitlines() if "semisup predict" in line]
    folder = Path(line.split()[-2])
    assert folder.is_dir()
    assert folder.name.startswith("self_training-fixed-0.95-crop_rotate-0.5-seed0-")


@text_only
def test_last_line_names_the_command_for_advice(sweep: Path) -> None:
    assert printed(sweep).splitlines()[-1] == f"what the numbers support: semisup advise {sweep}"


# Files ----------------------------------------------------------------------------------------------------------------


@text_only
def test_csv_has_one_line_for_each_run(sweep: Path) -> None:
    make(sweep, plain_of("threshold.tau=0.5"), status="failed", error={"kind": "E", "message": "=1+1\nx"})
    printed(sweep)
    found = lines(sweep)
    assert len(found) == 12 + 6 + 3 + 1
    assert sum("control" in line["role"].split(" and ") for line in found) == 6
    assert sum("baseline" in line["role"].split(" and ") for line in found) == 3
    assert {line["role"] for line in found} == {"run", "control", "control and best labels-only", "baseline"}
    (line,) = [
        line
        for line in found
        if (line["role"], line["threshold.tau"], line["augment.strength"], line["seed"]) == ("run", "0.95", "0.5", "2")
        and line["status"] == "done"
    ]
    assert float(line["test/accuracy"]) == pytest.approx(0.75)
    assert float(line["best/val/accuracy"]) == pytest.approx(0.84)
    assert float(line["control/test/accuracy"]) == pytest.approx(0.65)
    assert float(line["gain_over_control_points"]) == pytest.approx(10)
    assert float(line["gain_over_baseline_points"]) == pytest.approx(25)
    assert (sweep / line["control/id"]).is_dir()
    assert (sweep / line["baseline/id"]).is_dir()
    assert (sweep / line["folder"]).is_dir()
    assert float(line["pseudo/round"]) == 2
    (failed,) = [line for line in found if line["status"] == "failed"]
    assert (failed["threshold.tau"], failed["reason"]) == ("0.5", "E: =1+1\\nx")
    assert failed["gain_over_control_points"] == ""


@text_only
def test_json_has_rows_runs_and_summary(sweep: Path) -> None:
    printed(sweep)
    found = json.loads((sweep / "comparison.json").read_text())
    assert found["sentence"] == summary_sentence(compared(sweep))
    assert found["columns"] == ["threshold.tau", "augment.strength"]
    assert found["best"] == found["rows"][0]
    row = found["best"]
    assert row["settings"] == {"threshold.tau": 0.95, "augment.strength": 0.5}
    assert row["seeds"] == [0, 1, 2]
    measured = row["gain_over_control_points"]
    assert (measured["mean"], measured["deviation"], measured["count"]) == (pytest.approx(8), pytest.approx(2), 3)
    assert measured["low"] < 8 < measured["high"]
    assert len(found["runs"]) == 21
    kinds = [each["kind"] for each in found["references"]]
    assert kinds == ["control", "control", "best labels-only", "baseline"]


@text_only
def test_pandas_reads_both_files(sweep: Path) -> None:
    printed(sweep)
    runs = pandas.read_csv(sweep / "comparison.csv")
    own = runs[runs["role"] == "run"]
    means = own.groupby(["threshold.tau", "augment.strength"])["gain_over_control_points"].mean()
    assert means.loc[(0.95, 0.5)] == pytest.approx(8)
    assert runs["test/accuracy"].dtype == float
    rows = pandas.json_normalize(json.loads((sweep / "comparison.json").read_text())["rows"], sep=" ")
    assert list(rows["settings threshold.tau"]) == [0.95, 0.8, 0.95, 0.8]
    assert rows["test/accuracy deviation"].tolist() == pytest.approx([0.02] * 4)


def test_comparing_again_gives_the_same_bytes(sweep: Path) -> None:
    names = ("comparison.csv", "comparison.json", "comparison.png", "report.html")
    printed(sweep)
    before = [(sweep / name).read_bytes() for name in names]
    printed(sweep)
    assert [(sweep / name).read_bytes() for name in names] == before


# The picture ----------------------------------------------------------------------------------------------------------


def colors_of(png: bytes) -> tuple[tuple[int, int], int]:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return image.size, len(image.getcolors(2**24) or [])


def test_heatmap_is_threshold_by_strength(sweep: Path) -> None:
    make(sweep, plain_of("threshold.tau=0.5", "augment.strength=0.25"), status="failed")
    comparison = compared(sweep)
    vertical, horizontal = choose_axes(comparison)
    assert (vertical.keys, vertical.values) == (("threshold.tau",), [(0.5,), (0.8,), (0.95,)])
    assert (horizontal.keys, horizontal.values) == (("augment.strength",), [(0.25,), (0.5,)])
    printed(sweep)
    (width, height), colors = colors_of((sweep / "comparison.png").read_bytes())
    assert width == 1400
    assert 300 < height < 1400
    assert colors > 50


@pytest.mark.parametrize(
    ("overrides", "axes"),
    [
        (
            [["optimizer.lr=0.1", "method.gate=0.5"], ["optimizer.lr=0.2", "method.gate=0.6"]],
            ("method.gate", "optimizer.lr"),
        ),
        ([["threshold.tau=0.5"], ["threshold.tau=0.6"]], None),
        ([[]], None),
        ([[f"threshold.tau=0.{tau}", f"augment.strength=0.{tau}"] for tau in range(10, 40)], None),
        ([["threshold=fixed", "augment.strength=0"], ["threshold=quantile", "augment.strength=1"]], "threshold.name"),
        ([[f"augment.strength=0.{s}", f"threshold.tau=0.{s}"] for s in range(1, 10)], "threshold.tau"),
    ],
    ids=["others", "one_setting", "one_row", "too_many", "policies", "wide"],
)
def test_every_sweep_has_a_figure(outputs: Path, overrides: list[list[str]], axes: Any) -> None:
    for each in overrides:
        make(outputs / "mine", plain_of(*each))
    comparison = compared(outputs / "mine")
    found = choose_axes(comparison)
    if axes is None:
        assert found is None
    else:
        assert set([axes] if isinstance(axes, str) else axes) <= {key for axis in found for key in axis.keys}
    (width, _), colors = colors_of(draw_heatmap(comparison))
    assert width == 1400
    assert colors > 20


def test_settings_with_dollar_signs_are_drawn(outputs: Path) -> None:
    for each in ("$\\frac{$", "$x$ \x1b[31m \u4e2d"):
        plain = plain_of()
        plain["device"] = each
        make(outputs / "mine", plain)
    assert compared(outputs / "mine").columns == ["device"]
    printed(outputs / "mine")


def test_control_row_belongs_to_the_cells_above(outputs: Path) -> None:
    """Two learning rates with other controls: a column shows the control of its own cells, or says that it cannot."""
    for rate, control in (("1e-3", 0.60), ("1e-2", 0.80)):
        for strength in (0.25, 0.5):
            for tau in (0.8, 0.9):
                plain = plain_of(f"optimizer.lr={rate}", f"augment.strength={strength}", f"threshold.tau={tau}")
                better = rate == "1e-2" if strength == 0.25 else (rate == "1e-2") == (tau == 0.9)
                val = 0.8 if better else 0.7
                make_with_references(outputs / "mine", plain, val=val, test=0.9, control=control, baseline=0.5)
    grid = make_grid(compared(outputs / "mine"))
    assert grid is not None
    first, second = (cell for cell in grid.accuracies if cell.y == CONTROL)
    assert (first.text, first.value) == (
        "80.0",
        summarize([0.8]),
    )  # of the cells, and not of all runs with that strength
    assert first.folder is not None
    assert json.loads((first.folder / "summary.json").read_text())["test/accuracy"] == 0.80
    assert (second.text, second.value, second.folder) == (SEVERAL, None, None)
    points = {round(cell.value.mean) for cell in grid.gains if cell.value}
    assert points == {10, 30}
    assert f"{SEVERAL}: the cells above have different ones" in " ".join(legend(compared(outputs / "mine"), grid))
    draw_heatmap(compared(outputs / "mine"))


def test_controls_of_all_cells_in_a_column_are_one_row(sweep: Path) -> None:
    grid = make_grid(compared(sweep))
    assert grid is not None
    assert [cell.text for cell in grid.accuracies if cell.y == CONTROL] == ["62.5\n± 0.0", "65.0\n± 0.0"]


# In W&B ---------------------------------------------------------------------------------------------------------------


def tracked(folder: Path, *words: str) -> list[Path]:
    """Compare with --track; returns the W&B files of the comparison."""
    assert compare([folder], Console(file=io.StringIO(), width=150), list(words)) == 0
    return sorted((folder.parent / "wandb").glob("offline-run-*/run-comparison-*.wandb"))


def inspected(path: Path, *words: str) -> Any:
    text = inspect(path, *words)
    return json.loads(text) if words else [json.loads(line) for line in text.splitlines()]


def test_comparison_is_uploaded_into_the_group_of_the_sweep(sweep: Path) -> None:
    (file,) = tracked(sweep, "tracking.project=mine")
    (run,) = [record["run"] for record in inspected(file) if record["type"] == "run"][:1]
    assert (run["project"], run["run_group"], run["job_type"]) == ("mine", "mine", "compare")
    summary = inspected(file, "--summary")["summary"]
    assert summary["best/val/accuracy"] == pytest.approx(0.84)
    assert summary["gain_over_control_points"] == pytest.approx(8)
    assert summary["sentence"] == summary_sentence(compared(sweep))
    assert (summary["count/runs"], summary["count/settings"]) == (21, 4)
    assert {name for name in summary if name.startswith("plots/")} == {
        f"plots/{n}" for n in ("comparison", "curves", "rounds")
    }
    table = json.loads((file.parent / "files" / summary["settings"]["path"]).read_text())
    assert table["columns"][:3] == ["threshold.tau", "augment.strength", "seeds"]
    assert table["data"][0][:3] == [0.95, 0.5, 3]
    assert len(table["data"]) == 4
    runs = json.loads((file.parent / "files" / summary["runs"]["path"]).read_text())
    assert runs["columns"] == list(lines(sweep)[0])
    assert len(runs["data"]) == 21
    png = file.parent / "files" / summary["plots/comparison"]["path"]
    assert png.read_bytes() == (sweep / "comparison.png").read_bytes()


def test_runs_in_wandb_have_gains_that_sort_as_the_comparison(outputs: Path) -> None:
    """Two settings x two seeds: each run's own gain, and its setting's gain, interval and rank."""
    folder = outputs / "mine"
    for tau, val, gains in ((0.8, 0.7, (0.04, 0.02)), (0.95, 0.9, (0.10, 0.12))):
        for seed, gain in enumerate(gains):
            plain = plain_of(f"threshold.tau={tau}", seed=seed)
            make_with_references(folder, plain, val=val, test=0.6 + gain, control=0.6, baseline=0.5)
    tracked(folder)
    comparison = compared(folder)
    summaries = {}
    for file in (outputs / "wandb").glob("offline-run-*/run-mine-*.wandb"):
        summaries[file.stem.removeprefix("run-mine-")] = inspected(file, "--summary")["summary"]
    assert set(summaries) == {run.id for row in comparison.rows for run in row.runs}
    by_rank = sorted(summaries.values(), key=lambda each: (each["setting/rank"], each["gain_over_control_points"]))
    assert [each["gain_over_control_points"] for each in by_rank] == pytest.approx([10, 12, 2, 4])
    assert [each["setting/gain_over_control_points"] for each in by_rank] == pytest.approx([11, 11, 3, 3])
    for each in by_rank:
        gain = comparison.rows[each["setting/rank"] - 1].gains["control"]
        assert each["setting/gain_over_control_points_low"] == pytest.approx(gain.sweep_interval.low)
        assert each["setting/gain_over_control_points_high"] == pytest.approx(gain.sweep_interval.high)
        assert each["setting/gain_over_control_evidence"] == evidence(gain.sweep_interval, confirmed=False)
        assert each["test/accuracy"] == pytest.approx(0.6 + each["gain_over_control_points"] / 100)
        assert each["setting/seeds"] == 2


@pytest.fixture
def one_run(outputs: Path) -> Path:
    """An experiment with one run and its references; every run that is uploaded costs 0.4 s."""
    return make_with_references(outputs / "mine", plain_of(), test=0.75, control=0.7, baseline=0.5).parent


def test_location_in_wandb_is_printed(one_run: Path) -> None:
    file = io.StringIO()
    assert compare([one_run], Console(file=file, width=1000), []) == 0
    (line,) = [line for line in file.getvalue().splitlines() if "wandb sync" in line]
    assert Path(line.split()[-1]).is_dir()
    assert line.startswith("wrote ")


def test_comparing_again_updates_the_same_wandb_run(one_run: Path, outputs: Path) -> None:
    first, second = (tracked(one_run)[0].name for _ in range(2))
    assert first == second
    assert first.startswith("run-comparison-mine-")
    shutil.copytree(one_run, outputs / "second")
    assert {file.name for file in tracked(outputs / "second")} > {first}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("outputs/mine", "folders come before --track"),
        ("tracking.mode=dancing", "tracking.mode=dancing: must be one of offline, online"),
        ("tracking.colour=red", "tracking.colour=red: no such key"),
        ("tracking.project=${oc.env:HOME}", "no interpolations"),
        ("name=x", "must be tracking.KEY=VALUE"),
    ],
)
def test_invalid_tracking_settings_fail_before_any_work(outputs: Path, word: str, said: str) -> None:
    make(outputs / "mine", plain_of())
    with pytest.raises(SettingError) as error:
        compare([outputs / "mine"], Console(file=io.StringIO()), [word])
    assert said in str(error.value)
    assert not (outputs / "mine" / "report.html").exists()
    assert not (outputs / "wandb").exists()


# Speed ----------------------------------------------------------------------------------------------------------------


def test_a_thousand_runs_are_compared_in_ten_seconds_and_fit_into_a_page(outputs: Path) -> None:
    for number in range(1000):
        plain = plain_of(f"augment.strength={number // 5 % 8 / 8}", seed=number % 5)
        plain["threshold"]["tau"] = 0.5 + number // 40 / 100
        status = {97: "failed", 98: "diverged", 99: "interrupted"}.get(number % 100, "done")
        error = None if status == "done" else {"kind": "RuntimeError", "message": "the reason, in some words " * 3}
        make(outputs / "mine", plain, val=number / 2000, status=status, error=error, labelings=[(0.5, 0.5)])
    started = time.process_time()
    text = printed(outputs / "mine")
    assert time.process_time() - started < 10
    assert f"{200 - MAX_ROWS} more in comparison.csv" in text
    assert len(lines(outputs / "mine")) == 1000
    page = (outputs / "mine" / "report.html").read_text()
    assert page.count("semisup reproduce") == 1000 + 1
    assert page.count('<td class="none"') < page.count('<td class="') > 2 * 200, "a heat map of 25 x 8"
    assert len(page) < 2_000_000


@text_only
def test_better_labels_only_run_is_named(outputs: Path) -> None:
    folder = make_with_references(outputs / "mine", plain_of(), val=0.7, test=0.7, control=0.75, baseline=0.5)
    text = printed(folder.parent, width=1000)
    assert "this setting is 5.0 points worse than the control" in text
    said, other = text.partition("but training on labels only does better on the validation images (")[2].splitlines()[
        :2
    ]
    assert said.startswith("75.0% against 70.0%)")
    assert other.split()[:2] == ["semisup", "predict"]
    assert "/self_training-lambda0-" in other, "the control"
    assert folder.name not in other


def test_command_line(outputs: Path) -> None:
    make_with_references(outputs / "mine", plain_of(), test=0.75, control=0.7, baseline=0.5)
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {
        "PYTHONIOENCODING": "ascii"
    }
    command = [sys.executable, "-m", "semisup", "compare"]
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60, "check": False, "env": environment}
    done = subprocess.run([*command, str(outputs / "mine")], **options)
    assert done.returncode == 0, done.stderr
    assert "this setting is 5.0 points better than the control" in done.stdout
    assert "seconds" in done.stdout  # wide enough for all columns
    missing = preloaded.run([*command, str(outputs / "none")], **options | {"check": False})
    assert missing.returncode == 2
    assert missing.stderr.endswith("none: there is no such folder; type outputs/NAME, the folder of an experiment\n")


def test_help_needs_no_torch() -> None:
    program = (
        "import argparse, sys\n"
        "from semisup.cli.compare import add_arguments\n"
        "parser = argparse.ArgumentParser('semisup compare')\n"
        "add_arguments(parser)\n"
        "print(parser.format_help())\n"
        "assert parser.parse_args(['a', 'b']).folders[1].name == 'b'\n"
        "assert not {'torch', 'matplotlib', 'rich'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "control" in done.stdout


@pytest.mark.parametrize("words", [["train", "--help"], ["--help"], ["compare", "mine"], ["compare", "--help"]])
def test_closed_pipe_ends_quietly(outputs: Path, words: list[str]) -> None:
    """`semisup compare mine | head -1`: no traceback, and the files are written all the same."""
    make(outputs / "mine", plain_of())
    reader, writer = os.pipe()
    os.close(reader)
    done = preloaded.run(
        [sys.executable, "-m", "semisup", *words],
        cwd=outputs, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode in ((0,) if words == ["compare", "mine"] else (0, 141))  # argparse itself passes over it
    assert (outputs / "mine" / "report.html").is_file() == (words == ["compare", "mine"])


# What to type next ----------------------------------------------------------------------------------------------------


@text_only
def test_runs_with_one_seed_are_followed_by_the_command_that_repeats_them(outputs: Path) -> None:
    folder, command = outputs / "mine", "semisup train -m threshold.tau=0.8,0.9 method=self_training"
    for tau in (0.8, 0.9):
        config = plain_of("method=self_training", f"threshold.tau={tau}", seed=4)
        make_with_references(folder, config, test=0.8, control=0.7, baseline=0.5)
        if tau == 0.8:
            assert f"repeat it with new seeds: semisup confirm {folder}\n" in printed(folder, width=1000)
    for run in folder.iterdir():
        if (path := run / "run.json").is_file():
            path.write_text(json.dumps(json.loads(path.read_text()) | {"command": f"{command} seed=4"}))
    expected = f"repeat it with 3 seeds (finished runs are reused): {command} seed=4,5,6\n"
    assert expected in printed(folder, width=1000)
    for run in folder.glob("self_training-fixed-*"):  # as in a sweep that an experiment defines
        tau = yaml.safe_load((run / "config.yaml").read_text())["threshold"]["tau"]
        about = json.loads((run / "run.json").read_text())
        own = f"semisup train threshold.tau={tau} experiment=mine seed=4"
        (run / "run.json").write_text(json.dumps(about | {"command": own}))
    expected = "(finished runs are reused): semisup train -m threshold.tau=0.8,0.9 experiment=mine seed=4,5,6\n"
    assert expected in printed(folder, width=1000)
    config = plain_of("method=self_training", "threshold.tau=0.8", seed=5)
    make_with_references(folder, config, val=0.9, test=0.8, control=0.7, baseline=0.5)
    assert "repeat it" not in printed(folder, width=1000), "the best setting has two seeds"
