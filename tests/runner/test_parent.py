"""`from=RUN`: a training that starts from the best model of another run."""

import io
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from semisup.config import schema
from semisup.config.caller_settings import merge_caller_settings
from semisup.config.run_id import run_id
from semisup.config.typed_words import to_overrides
from semisup.core.events import StepEnd
from semisup.core.partial_state import trained_state
from semisup.errors import RecordError, SettingError
from semisup.record import checkpoint
from semisup.record.reader import read_config
from semisup.runner.compatibility import check_compatibility
from semisup.runner.parent import warn_of_trained_images
from semisup.runner.shared_start import shared_config
from semisup.training.loop import train
from semisup.training.state import restore, start
from tests.cli.test_train import only_run, semisup
from tests.conftest import checked, toy_problem

QUICK = ("train.epochs=1", "model.widths=[4,8]", "tracking=none", "plots=false", "dataset.split_seed=0")
OVERRIDES = ("model.widths=[4,8]", "device=cpu", "precision=float32")
DIGITS = [str(number) for number in range(10)]
COUNTS = {"labeled": 40, "unlabeled": 100, "validation": 50, "test": 50}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parent")
    done = semisup(folder, "train", *QUICK, "method=supervised")
    assert done.returncode == 0, done.stderr
    return only_run(folder)


def changed_copy(run: Path, folder: Path, **sections: Any) -> Path:
    """Copy a run, with other sections in its config."""
    copy = shutil.copytree(run, folder)
    (copy / "config.yaml").write_text(yaml.safe_dump(read_config(run / "config.yaml") | sections))
    return copy


def test_training_starts_with_the_weights_of_the_parent_run(parent: Path) -> None:
    config = checked(*OVERRIDES, f"from.run={parent}")
    (best,) = checkpoint.newest(parent / "checkpoints", "best")
    assert config.config["from"] == {"run": str(parent), "checkpoint": best.name}
    weights = checkpoint.load(best)["weights"]
    state = start(toy_problem(num_classes=10), config.settings)
    started = trained_state(state.student)
    assert started.keys() == weights.keys()
    assert all(torch.equal(started[name], weights[name]) for name in weights)
    again = start(
        toy_problem(num_classes=10), checked(*OVERRIDES, f"from.run={parent}", "train.ema_decay=0.9").settings
    )
    assert all(torch.equal(value, weights[name]) for name, value in trained_state(again.teacher).items())


def test_run_id_depends_on_the_parent_but_not_on_its_place(parent: Path, tmp_path: Path) -> None:
    alone, config = checked(*OVERRIDES), checked(*OVERRIDES, f"from.run={parent}")
    assert alone.id != config.id
    moved = shutil.copytree(parent, tmp_path / parent.name)
    assert checked(*OVERRIDES, f"from.run={moved}").id == config.id
    (best,) = checkpoint.newest(moved / "checkpoints", "best")
    best.rename(best.with_name("best-00000001-0123456789abcdef.pt"))
    assert checked(*OVERRIDES, f"from.run={moved}").id != config.id
    saved = {key: value for key, value in alone.config.items() if key != "from"}
    assert run_id(saved | {"from": {"run": None, "checkpoint": None}}) == alone.id


def test_runs_with_other_parents_share_no_start(parent: Path) -> None:
    alone, config = checked(*OVERRIDES), checked(*OVERRIDES, f"from.run={parent}")
    shared = shared_config(config)
    assert shared is not None
    assert shared["from"]["checkpoint"] == config.config["from"]["checkpoint"]
    assert shared != shared_config(alone)


def test_from_is_short_for_from_run(tmp_path: Path) -> None:
    assert to_overrides(["from=outputs/runs/a-b", "seed=1"]) == ["from.run=outputs/runs/a-b", "seed=1"]
    (tmp_path / "rows.csv").write_text("from,seed\na-b,1\nc-d,2\n")
    first = to_overrides([f"sweep.rows={tmp_path / 'rows.csv'}"])[0]
    assert first == "from.run=tag(zip,choice(a-b,c-d))"


def test_run_that_does_not_fit_is_refused(parent: Path, tmp_path: Path) -> None:
    def refusal(run: Path | str, *overrides: str) -> str:
        with pytest.raises(SettingError) as error:
            checked(*(overrides or OVERRIDES), f"from.run={run}")
        assert error.value.key == "from.run"
        return error.value.allowed

    assert "has model.widths=[4, 8], and this run [4, 16]" in refusal(parent, "model.widths=[4,16]")
    assert "has model=small_cnn, and this run mlp" in refusal(parent, "model=mlp")
    encoder = changed_copy(parent, tmp_path / "encoder", encoder={"name": "lite0"})
    assert "has encoder=lite0, and this run none" in refusal(encoder)
    probe = changed_copy(parent, tmp_path / "probe", probe={"classifier": "logistic_regression", "C": [1.0], "k": []})
    assert "is a probe (logistic_regression)" in refusal(probe)
    assert "there is no such folder" in refusal(tmp_path / "missing")
    assert "cannot be read: File name too long" in refusal("a" * 300)
    assert "; type one of the runs in it, such as" in refusal(parent.parent)
    unfinished = shutil.copytree(parent, tmp_path / "unfinished")
    (unfinished / "summary.json").unlink()
    assert "is not finished; repeat the command" in refusal(unfinished)
    damaged = shutil.copytree(parent, tmp_path / "damaged")
    (damaged / "config.yaml").write_text("a: [")
    assert "config.yaml: " in refusal(damaged)
    (damaged / "config.yaml").write_bytes((parent / "config.yaml").read_bytes())
    shutil.rmtree(damaged / "checkpoints")
    assert "best model of the run is missing" in refusal(damaged)
    assert "has no effect with probe.classifier=nearest_neighbors" in refusal(
        parent, "probe.classifier=nearest_neighbors"
    )


def test_model_with_another_digest_is_refused(parent: Path, tmp_path: Path) -> None:
    other = shutil.copytree(parent, tmp_path / "other")
    config = checked(*OVERRIDES, f"from.run={other}").config
    (best,) = checkpoint.newest(other / "checkpoints", "best")
    best.rename(best.with_name("best-00000001-0123456789abcdef.pt"))
    with pytest.raises(SettingError, match=r"from.run=.*its best model is best-00000001.*this run starts from"):
        schema.validate(config)
    damaged = checked(*OVERRIDES, f"from.run={other}")
    with pytest.raises(RecordError, match="is damaged"):
        start(toy_problem(num_classes=10), damaged.settings)
    with pytest.raises(SettingError, match=r"from.run=.*may be set only if the config of the run has from.checkpoint"):
        merge_caller_settings(checked(*OVERRIDES).config, [f"from.run={other}"])


def test_data_that_do_not_fit_are_refused_and_trained_images_are_named(parent: Path) -> None:
    config = checked(*OVERRIDES, f"from.run={parent}")
    check_compatibility(config, DIGITS, COUNTS, 1, sizes=False)
    with pytest.raises(SettingError, match=r"from.run=.*its classes are 0, 1, .*those of the data are 9, 8, "):
        check_compatibility(config, DIGITS[::-1], COUNTS, 1, sizes=False)
    with pytest.raises(SettingError, match=r"has the shape \[4, 1, 3, 3\], and that of this run \[4, 3, 3, 3\]"):
        start(toy_problem(num_classes=10, channels=3), config.settings)

    def warned(seed: int) -> list[str]:
        dataset = checked(f"dataset.split_seed={seed}").dataset
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_of_trained_images(config, dataset.read(dataset.inspect(), lambda items, *_: items))
        return [str(each.message) for each in caught]

    assert warned(0) == []
    validation, test = warned(1)
    assert "validation images were neither" in validation
    assert "test images were neither" in test


@pytest.mark.parametrize("method", ["self_training", "noisy_student"])
def test_resumed_training_equals_an_uninterrupted_one(parent: Path, method: str) -> None:
    words = [f"method={method}", "method.gate=0", "method.refresh_every=1", "threshold.tau=0.2", "train.steps=12"]
    settings = checked(*OVERRIDES, *words, "train.batch_size=4", f"from.run={parent}").settings
    problem = toy_problem(num_classes=10)
    whole = start(problem, settings)
    list(train(problem, settings, whole))
    stopped = start(problem, settings)
    steps = (event for event in train(problem, settings, stopped) if isinstance(event, StepEnd))
    assert next(event for event in steps if event.step == 5)
    buffer = io.BytesIO()
    torch.save(stopped.snapshot(), buffer)
    buffer.seek(0)
    resumed = start(problem, settings)
    restore(resumed, torch.load(buffer, weights_only=True))
    list(train(problem, settings, resumed))
    expected, weights = whole.student.state_dict(), resumed.student.state_dict()
    assert all(torch.equal(expected[name], weights[name]) for name in expected)


def test_run_records_its_parent_is_reproduced_and_outlives_it(parent: Path, tmp_path: Path) -> None:
    other = shutil.copytree(parent, tmp_path / "parents" / parent.name)
    done = semisup(tmp_path, "train", *QUICK, "method=supervised", f"from={other}", "seed=1")
    assert done.returncode == 0, done.stderr
    assert "neither validation nor test" not in done.stderr
    run = only_run(tmp_path)
    assert read_config(run / "config.yaml")["from"]["run"] == str(other)
    other.rename(tmp_path / "moved")
    gone = semisup(tmp_path, "reproduce", str(run))
    assert (gone.returncode, len(gone.stderr.splitlines())) == (2, 1), gone.stderr
    assert f"from.run={str(other)[:20]}" in gone.stderr
    again = semisup(tmp_path, "reproduce", str(run), f"from.run={tmp_path / 'moved'}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "identical" in again.stdout
    done = semisup(tmp_path, "show", str(run))
    assert done.returncode == 0, done.stdout + done.stderr


def test_references_of_a_sweep_start_from_the_same_model(parent: Path, tmp_path: Path) -> None:
    words = (*QUICK, "method=self_training", "method.gate=0", "method.refresh_every=1", "threshold.tau=0.2,0.6")
    done = semisup(tmp_path, "train", "-m", *words, f"from={parent}", "train.batch_size=8")
    assert done.returncode == 0, done.stdout + done.stderr
    configs = [read_config(path) for path in tmp_path.glob("outputs/runs/*/config.yaml")]
    (best,) = checkpoint.newest(parent / "checkpoints", "best")
    assert len(configs) > 4
    assert all(config["from"] == {"run": str(parent), "checkpoint": best.name} for config in configs)
    compared = semisup(tmp_path, "compare", "outputs/runs")
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "no control" not in compared.stdout
    refused = semisup(tmp_path, "train", "-m", *words, f"from={tmp_path}")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1), refused.stderr
