"""Logistic regression and nearest neighbors on features: beside a sweep, compared, and as runs of their own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from semisup.config.controls import probe_configs
from semisup.config.run_id import run_id
from semisup.core.types import Images
from semisup.report.wording import encoder_question
from semisup.runner import data as data_module
from semisup.runner import encoding
from semisup.runner import probe as probe_module
from semisup.training.probe import fit_probe, unit_features
from tests.conftest import Program, checked, toy_problem
from tests.encoder.test_runs import FIXMATCH, numbers, runs
from tests.encoder.toy import assert_predicts_as_recorded, toy_folder, toy_weights, toy_words

KINDS = ("logistic_regression", "nearest_neighbors")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def words(images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    weights = toy_weights(tmp_path_factory.mktemp("weights") / "toy.pth")
    return [*toy_words(weights, images), f"encoder.cache={tmp_path_factory.mktemp('cache')}"]


@pytest.fixture(autouse=True)
def nothing_loaded() -> None:
    encoding._encoded.clear()
    data_module._loaded_data.clear()


def probes(folder: Path) -> dict[str, Path]:
    """Kind -> the only run of a probe of this kind in an experiment."""
    return {kind: path for kind in KINDS for path in folder.glob(f"{kind}-*")}


def test_sweep_fits_each_probe_once_and_compare_names_them(words: list[str], program: Program, tmp_path: Path) -> None:
    status, output = program("train", "-m", *words, *FIXMATCH, "threshold.tau=0.2,0.4", "augment.strength=0.25,0.5")
    assert status == 0, output
    folder = tmp_path / "outputs/runs"
    assert len([path for kind in KINDS for path in folder.glob(f"{kind}-*")]) == 2, "all cells share both"
    (summary,) = folder.glob("sweeps/*/sweep_summary.json")
    entries = json.loads(summary.read_text())["companion_jobs"]
    assert sum(entry["kept"] for name, entry in entries.items() if name.endswith(KINDS)) == 2 * 4 - 2
    for run in probes(folder).values():
        assert {path.name for path in run.iterdir()} >= {"config.yaml", "run.json", "summary.json", "predictions.csv"}
    status, output = program("compare", str(folder))
    assert status == 0, output
    names = {"logistic regression on features", "k-nearest neighbors on features"}
    assert all(name in " ".join(output.split()) for name in names)
    comparison = json.loads((folder / "comparison.json").read_text())
    assert names <= {each["kind"] for each in comparison["references"]}
    roles = {run["id"]: run["role"] for run in comparison["runs"]}
    assert all(any(name in roles[run.name] for name in names) for run in probes(folder).values())
    assert not any(row["method"] == "supervised" for row in comparison["rows"] if "method" in row), "none is a row"


ONE_IMAGE = ("train.batch_size=1", "train.steps=1", "train.evaluate_every_steps=1")
"""What is trained sees one labeled image, so that the probes are better."""


def test_best_probe_is_the_best_labels_only_run(words: list[str], program: Program, tmp_path: Path) -> None:
    status, output = program("train", "-m", *words, *FIXMATCH, *ONE_IMAGE, "seed=0,1")
    assert status == 0, output
    folder = tmp_path / "outputs/runs"
    assert program("compare", str(folder))[0] == 0
    comparison = json.loads((folder / "comparison.json").read_text())
    (best,) = [each for each in comparison["references"] if each["kind"] == "best labels-only"]
    assert best["settings"]["probe.classifier"] in KINDS
    assert any(
        f"the best labels-only runs ({name} on features)" in comparison["sentence"]
        for name in ("logistic regression", "k-nearest neighbors")
    )


def test_nearest_neighbors_that_are_best_are_not_recommended_for_predictions(
    words: list[str], program: Program, tmp_path: Path
) -> None:
    assert program("train", "-m", *words, *FIXMATCH, *ONE_IMAGE, "seed=0,1,2", "probe.C=[]")[0] == 0
    folder = tmp_path / "outputs/runs"
    status, output = program("compare", str(folder))
    assert "the best labels-only runs (k-nearest neighbors on features)" in " ".join(output.split())
    assert "the same stored augmented views (encoder.view_seed)" in " ".join(output.split())
    status, advice = program("advise", str(folder))
    assert status == 0, advice
    assert "semisup predict" in output
    assert not any("/nearest_neighbors-" in line for line in f"{output}{advice}".splitlines() if "predict" in line)


def test_sweep_without_control_or_values_fits_no_probe(words: list[str], program: Program, tmp_path: Path) -> None:
    assert program("train", "-m", *words, *FIXMATCH, "sweep.control=false", "name=alone")[0] == 0
    assert not probes(tmp_path / "outputs/alone")
    assert program("train", "-m", *words, *FIXMATCH, "probe.k=[]", "name=one")[0] == 0
    assert list(probes(tmp_path / "outputs/one")) == ["logistic_regression"]


@pytest.mark.parametrize("kind", KINDS)
def test_probe_is_reproduced_bit_by_bit_and_reused(
    kind: str, words: list[str], program: Program, tmp_path: Path
) -> None:
    assert program("train", *words, f"probe.classifier={kind}")[0] == 0
    run = probes(tmp_path / "outputs/runs")[kind]
    status, output = program("reproduce", str(run))
    assert status == 0, output
    assert "identical" in output
    assert "already done" in program("train", *words, f"probe.classifier={kind}", *FIXMATCH)[1], "which has no effect"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["steps"] == 0
    assert program("show", str(run))[0] == 0


def test_id_does_not_depend_on_the_run_beside_it(words: list[str]) -> None:
    ids = {
        tuple(run_id(config) for config in probe_configs(checked(*words, *more).config).values())
        for more in ([], FIXMATCH, ["model=mlp", "train.steps=9"], ["encoder.views=5", "encoder.view_seed=3"])
    }
    assert len(ids) == 1
    for change in ("seed=1", "dataset.labels_per_class=2", "probe.C=[3]", "probe.k=[2]", "train.select_by=loss"):
        other = tuple(run_id(config) for config in probe_configs(checked(*words, change).config).values())
        assert other not in ids, change


@pytest.mark.parametrize("num_classes", [2, 3])
def test_classifiers_are_those_of_scikit_learn(num_classes: int) -> None:
    problem = toy_problem(labeled=20, num_classes=num_classes)
    settings = checked("model=linear", "model.scale=1").settings
    features = {split: unit_features(getattr(problem, split)) for split in ("labeled", "test")}
    targets = problem.labeled.targets.numpy()
    for kind, values in (("logistic_regression", [0.5, 20.0]), ("nearest_neighbors", [1, 4, 500])):
        for value in values:
            key = {"logistic_regression": "C", "nearest_neighbors": "k"}[kind]
            probe = checked(f"probe.classifier={kind}", f"probe.{key}=[{value}]").probe
            fitted = fit_probe(problem, settings, probe)
            theirs: Any = LogisticRegression(C=value, max_iter=1000)
            if kind == "nearest_neighbors":
                theirs = KNeighborsClassifier(min(value, 20), weights="distance")
            theirs.fit(features["labeled"], targets)
            expected = theirs.predict_proba(features["test"])
            ours = fitted.finished.probabilities["test"].numpy()
            if kind == "nearest_neighbors":
                neighbors = min(value, 20)
                expected = (neighbors * expected + 1) / (neighbors + num_classes)
            numpy.testing.assert_allclose(ours, expected, atol=2e-6)


def test_value_is_selected_on_validation_alone() -> None:
    problem = toy_problem(labeled=20)
    settings = checked("model=linear", "model.scale=1", "train.select_by=loss").settings
    probe = checked("probe.classifier=logistic_regression", "probe.C=[1e-6,1,1000]").probe
    fitted = fit_probe(problem, settings, probe)
    losses = [event.metrics["val/loss"] for event in fitted.evaluations]
    assert fitted.best.step == 1 + losses.index(min(losses))  # type: ignore[type-var]
    assert fitted.finished.summary["probe/C"] == [1e-6, 1, 1000][fitted.best.step - 1]


def test_class_without_labels_is_never_predicted() -> None:
    problem = toy_problem(labeled=20)
    keep = problem.labeled.targets != 1
    pixels = problem.labeled.pixels[keep]
    labeled = Images(pixels, problem.labeled.targets[keep], [str(number) for number in range(len(pixels))])
    problem = type(problem)(**(vars(problem) | {"labeled": labeled}))
    settings = checked("model=linear", "model.scale=1").settings
    for kind in KINDS:
        fitted = fit_probe(problem, settings, checked(f"probe.classifier={kind}").probe)
        assert 1 not in fitted.finished.predictions["test"].predicted


def test_predict_uses_logistic_regression_and_refers_from_neighbors_to_it(
    words: list[str], images: Path, program: Program, tmp_path: Path
) -> None:
    for kind in KINDS:
        assert program("train", *words, f"probe.classifier={kind}")[0] == 0
    found = probes(tmp_path / "outputs/runs")
    run = found["logistic_regression"]
    assert_predicts_as_recorded(program, run, images, tmp_path / "classes.csv")
    status, output = program("predict", str(found["nearest_neighbors"]), str(images / "validation"))
    assert status == 2
    assert "nearest neighbors store no model; predict with the logistic regression in the same folder" in output


@pytest.mark.parametrize("place", ["write_event", "finish"])
def test_interrupted_probe_is_fitted_again(
    place: str, words: list[str], program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*of: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        target = probe_module.RunWriter if place == "write_event" else probe_module
        patch.setattr(target, {"write_event": place, "finish": "finish_run"}[place], interrupted)
        assert program("train", *words, "probe.classifier=logistic_regression")[0] == 130
    assert program("train", *words, "probe.classifier=logistic_regression")[0] == 0
    assert program("train", *words, "probe.classifier=logistic_regression", "name=whole")[0] == 0
    (run,) = runs(tmp_path / "outputs/runs").values()
    assert numbers(run) == numbers(tmp_path / "outputs/whole" / run.name)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("probe.classifier=svm", "probe.classifier=svm: must be one of logistic_regression, nearest_neighbors"),
        ("probe.C=[1,0]", "probe.C=0.0: must be above 0"),
        ("probe.k=[0]", "probe.k=0: must be at least 1"),
    ],
)
def test_wrong_settings_are_refused(word: str, message: str, program: Program) -> None:
    status, output = program("train", word, "tracking=none")
    assert status == 2
    assert message in output


def test_probe_without_values_is_refused(program: Program) -> None:
    status, output = program("train", "probe.classifier=nearest_neighbors", "probe.k=[]", "tracking=none")
    assert status == 2
    assert "probe.k=[]: must name at least one value with probe.classifier=nearest_neighbors" in output


def test_probe_fits_the_pixels_where_there_is_no_encoder(program: Program, tmp_path: Path) -> None:
    status, output = program("train", "probe.classifier=logistic_regression", "tracking=none", "plots=false")
    assert status == 0, output
    summary = json.loads((probes(tmp_path / "outputs/runs")["logistic_regression"] / "summary.json").read_text())
    assert summary["test/accuracy"] > 0.8, "of real handwritten digits"


def test_scikit_learn_is_imported_by_a_fit_alone() -> None:
    code = "import sys, semisup.runner.run, semisup.config.schema; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_photographs_without_an_encoder_raise_the_question_of_one(words: list[str]) -> None:
    (line,) = encoder_question(checked("dataset=folder", "dataset.root=/nowhere").config)
    assert "Add encoder=lite0 model=linear to the command" in line
    assert encoder_question(checked("dataset=digits").config) == []
    assert encoder_question(checked(*words).config) == []


def test_features_stay_in_memory_between_runs_and_their_references(
    words: list[str], program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, table = [], encoding.FeatureTable

    def counted(*of: Any, **how: Any) -> Any:
        tables.append(of)
        return table(*of, **how)

    monkeypatch.setattr(encoding, "FeatureTable", counted)
    for more in (["threshold.tau=0.4"], ["probe.classifier=nearest_neighbors"], ["threshold.tau=0.2"]):
        assert program("train", *words, *FIXMATCH, *more)[0] == 0
    assert len(tables) == 3, "plain images, weak and strong views, each once"
    assert program("train", *words, *FIXMATCH, "augment.strength=0.25")[0] == 0
    assert len(tables) == 4
    monkeypatch.setattr(encoding, "memory_limit_bytes", lambda: 1)
    assert program("train", *words, *FIXMATCH, "threshold.tau=0.3")[0] == 0
    assert len(encoding._encoded) == 3, "what the run uses, read from the files"


def test_metrics_have_one_row_for_each_value(words: list[str], program: Program, tmp_path: Path) -> None:
    assert program("train", *words, "probe.classifier=nearest_neighbors", "probe.k=[1,2]")[0] == 0
    run = probes(tmp_path / "outputs/runs")["nearest_neighbors"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["probe/k"]) for row in rows] == [(1, 1), (2, 2)]
    assert yaml.safe_load((run / "config.yaml").read_text())["method"] == {"name": "supervised"}
    assert torch.get_num_threads() == 1
