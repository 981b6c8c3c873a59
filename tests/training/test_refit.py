"""A refit: trains on labels and validation images, evaluates nothing, keeps the last model, and claims no accuracy."""

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from semisup.config.run_id import run_id
from semisup.core.events import EvalEnd, Finished, StepEnd
from semisup.core.types import Images
from semisup.errors import SettingError
from semisup.images.on_disk import LazyImages, concatenate
from semisup.record import checkpoint
from semisup.runner.refit import refit_data
from semisup.sweep.preflight import compose_command
from semisup.training.loop import train
from semisup.training.state import State, TrainingConfig, TrainingData, restore, start
from tests.conftest import Program, checked, toy_problem
from tests.dataset import settings, watch

SMALL = ("train.refit=true", "model.widths=[8,16]", "train.batch_size=4", "train.steps=9", "train.ema_decay=0.9")


def refit_problem() -> TrainingData:
    problem = toy_problem()
    nothing = Images(problem.validation.pixels[:0], problem.validation.targets[:0], [])
    return dataclasses.replace(problem, validation=nothing, test=nothing)


def finish(problem: TrainingData, config: TrainingConfig, state: State) -> tuple[list[Any], Finished]:
    events = list(train(problem, config, state))
    assert isinstance(events[-1], Finished)
    return events, events[-1]


@pytest.mark.parametrize("method", ["fixmatch", "self_training"])
def test_refit_evaluates_nothing_and_keeps_the_averaged_last_model(method: str) -> None:
    gate = ["method.gate=0", "method.refresh_every=1"] if method == "self_training" else []
    config = checked(*SMALL, f"method={method}", "threshold.tau=0.1", *gate).settings
    problem = refit_problem()
    state = start(problem, config)
    events, finished = finish(problem, config, state)
    rows = [event.row() for event in events if isinstance(event, EvalEnd)]
    assert rows
    assert not any(name.startswith(("val/", "best/val")) for row in rows for name in row)
    assert finished.summary["steps"] == 9
    assert not any("val" in name or "test" in name for name in finished.summary)
    assert not finished.predictions
    assert not finished.confusion
    assert state.best is not None
    assert state.average is not None
    assert state.best.accuracy is None
    for name, value in state.average.state_dict().items():
        assert torch.equal(state.best.weights[name], value)
    assert any("pseudo/coverage" in (event.row() or {}) for event in events), "the unlabeled set is used"


def test_resumed_refit_is_bit_identical() -> None:
    config, problem = checked(*SMALL, "method=fixmatch").settings, refit_problem()
    whole = start(problem, config)
    finish(problem, config, whole)
    first, snapshot = start(problem, config), None
    for event in train(problem, config, first):
        if isinstance(event, StepEnd) and event.step == 4:
            snapshot = copy.deepcopy(first.snapshot())
            break
    assert snapshot is not None
    second = start(problem, config)
    restore(second, snapshot)
    finish(problem, config, second)
    assert whole.best is not None
    assert second.best is not None
    for name, value in whole.best.weights.items():
        assert torch.equal(second.best.weights[name], value)


def test_refit_trains_on_labels_and_validation_images() -> None:
    dataset = settings("digits")
    data = dataset.read(dataset.inspect(), watch)
    refit = refit_data(data)
    assert refit.labeled.paths == data.labeled.paths + data.validation.paths
    assert torch.equal(refit.labeled.pixels[len(data.labeled) :], data.validation.pixels)  # type: ignore[arg-type]
    assert torch.equal(refit.labeled.targets[len(data.labeled) :], data.validation.targets)
    assert (len(refit.validation), len(refit.test)) == (0, 0)
    assert refit.unlabeled is data.unlabeled
    assert refit.fingerprint == data.fingerprint


def test_images_on_disk_and_in_memory_are_joined() -> None:
    pixels = numpy.arange(6 * 12, dtype=numpy.uint8).reshape(6, 3, 2, 2)
    lazy = LazyImages([pixels, pixels + 100], numpy.array([1, 0]), numpy.array([2, 5]), torch.device("cpu"))
    memory = torch.from_numpy(pixels[:3])
    joined = concatenate([lazy, memory])
    assert isinstance(joined, LazyImages)
    expected = numpy.stack([pixels[2] + 100, pixels[5], *pixels[:3]])
    assert numpy.array_equal(joined[torch.arange(5)].numpy(), expected)
    assert torch.equal(concatenate([memory, memory]), torch.cat([memory, memory]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.patience=3"], "train.patience=3: needs validation images, but train.refit=true trains on them; use"),
        (["train.select_by=loss"], "train.select_by=loss: needs validation images, but train.refit"),
        (
            ["method.gate=0.6"],
            "method.gate=0.6: needs validation images, but train.refit=true trains on them; use method.ga",
        ),
        (
            ["method.gate=0", "labeler.calibrate=true"],
            "labeler.calibrate=True: needs validation images, but train.refit=true trains on them; "
            "use labeler.calibrate",
        ),
        (
            ["method.gate=0", "dataset.validation_share=0", "dataset.folds=2", "dataset.fold=0"],
            "dataset.folds=2: holds out labeled images, but train.refit=true trains on all; use dataset.folds=null",
        ),
    ],
)
def test_settings_that_need_validation_images_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingError) as error:
        checked("train.refit=true", *overrides)
    assert str(error.value).lower().startswith(message.lower())


def test_refit_counts_in_the_run_id_only_where_it_is_set() -> None:
    assert checked("train.refit=true", "method=fixmatch").id != checked("method=fixmatch").id
    config = checked("method=fixmatch").config
    without = {key: value for key, value in config["train"].items() if key != "refit"}
    assert run_id(config | {"train": without}) == run_id(config)


def test_refit_as_typed_is_no_row_and_predicts(program: Program, tmp_path: Path) -> None:
    words = ["tracking=none", "plots=false", "name=mine", "output_root=out", "method=fixmatch", "train.steps=4"]
    status, output = program("train", *words)
    assert status == 0, output
    status, output = program("train", *words, "train.refit=true")
    assert status == 0, output
    assert "refit: no accuracy is claimed" in output
    assert "Next: semisup predict" in output
    folders = {
        json.loads((path / "summary.json").read_text()).get("refit"): path for path in tmp_path.glob("out/mine/*")
    }
    refit = folders["no accuracy is claimed"]
    summary = json.loads((refit / "summary.json").read_text())
    assert not any("accuracy" in name for name in summary if not name.startswith("pseudo/"))
    assert "nan" not in (refit / "summary.json").read_text().lower()
    counts = json.loads((refit / "run.json").read_text())["dataset"]["counts"]
    of_run = json.loads((folders[None] / "run.json").read_text())["dataset"]["counts"]
    assert counts["labeled"] == of_run["labeled"] + of_run["validation"]
    assert (counts["validation"], counts["test"]) == (0, 0)
    assert not (refit / "predictions.csv").exists()
    assert checkpoint.load(checkpoint.newest(refit / "checkpoints", "best")[0])["accuracy"] is None

    status, output = program("compare", "out/mine")
    assert status == 0, output
    assert "1 refit on labels and validation images: no accuracy is claimed." in " ".join(output.split())
    saved = json.loads((tmp_path / "out/mine/comparison.json").read_text())
    assert [row["runs"] for row in saved["rows"]] == [[folders[None].name]]
    assert {line["id"]: line["role"] for line in saved["runs"]}[refit.name] == "refit: no accuracy is claimed"
    status, output = program("compare", str(refit))
    assert status == 0, output
    assert "1 refit on labels and validation images: no accuracy is claimed." in " ".join(output.split())
    status, output = program("show", str(refit))
    assert status == 0, output
    assert "refit on labels and validation images: no accuracy is claimed" in " ".join(output.split())
    status, output = program("reproduce", str(refit))
    assert status == 0, output
    assert "identical" in output
    Image.new("L", (8, 8), 200).save(tmp_path / "digit.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "digit.png").rename(tmp_path / "images/digit.png")
    status, output = program("predict", str(refit), "images")
    assert status == 0, output
    assert "digit.png," in output


def test_refits_of_several_settings_are_refused() -> None:
    message = (
        r"train\.refit=[Tt]rue: .* one value of each setting, but threshold\.tau has 2 \(0\.5, 0\.7\); type one of them"
    )
    with pytest.raises(SettingError, match=message):
        compose_command(["train.refit=true", "threshold.tau=0.5,0.7", "seed=0,1"], True)
    with pytest.raises(SettingError, match=r"threshold\.tau has 3 .* such as threshold\.tau=0\.7$"):
        compose_command(["experiment=photographs", "dataset.root=x", "train.refit=true"], False)
    chosen = compose_command(
        ["experiment=photographs", "dataset.root=x", "train.refit=true", "threshold.tau=0.5"], False
    )
    assert chosen.choices["threshold.tau"] == ["threshold.tau=0.5"]
    compose_command(["train.refit=true,false", "threshold.tau=0.5,0.7"], True)


def test_refits_of_a_sweep_have_no_references(program: Program, tmp_path: Path) -> None:
    words = ["tracking=none", "plots=false", "name=mine", "output_root=out", "method=fixmatch", "train.steps=2"]
    status, output = program("train", "-m", *words, "train.refit=true", "seed=0,1")
    assert status == 0, output
    assert len(list(tmp_path.glob("out/mine/fixmatch*"))) == 2
    assert "0 reference runs" in output
