"""Batches larger than the labeled set: the labels are repeated pass after pass, as FixMatch trains on 40 labels."""

import json
from pathlib import Path

import pytest

from semisup.core.events import EvalEnd
from semisup.core.sampling import epoch_batch, permutation
from semisup.runner.compatibility import check_compatibility
from semisup.training.loop import train
from semisup.training.state import start
from tests.conftest import Program, checked, choose, toy_problem


def test_a_batch_of_64_from_40_labels_repeats_every_label_equally_often() -> None:
    batches = [epoch_batch(0, "labeled", epoch, 40, 64, 0).tolist() for epoch in range(5)]
    assert [len(batch) for batch in batches] == [64] * 5
    drawn = [index for batch in batches for index in batch]
    assert all(drawn.count(index) == 8 for index in range(40))
    for number in range(8):
        assert drawn[40 * number : 40 * (number + 1)] == permutation(0, "labeled", number, 40).tolist()


def test_batches_up_to_the_size_of_the_set_are_unchanged() -> None:
    order = permutation(3, "labeled", 5, 10).tolist()
    assert epoch_batch(3, "labeled", 5, 10, 4, 2).tolist() == order[8:]
    assert epoch_batch(3, "labeled", 5, 10, 10, 0).tolist() == order


@pytest.mark.parametrize("method", ["supervised", "self_training", "fixmatch", "mixmatch"])
def test_an_epoch_is_one_batch_of_the_full_size(method: str) -> None:
    config = checked(
        *("model.widths=[8,16]", "train.batch_size=8", "train.epochs=4"), *choose("method", method, gate=1)
    )
    problem = toy_problem(labeled=3)
    state = start(problem, config.settings)
    events = list(train(problem, config.settings, state))
    assert (state.step, state.labeled_steps) == (4, 4)
    losses = [event.metrics["train/loss"] for event in events if isinstance(event, EvalEnd)]
    assert len(losses) == 4


def test_settings_with_such_a_batch_are_accepted() -> None:
    counts = {"labeled": 40, "unlabeled": 1000, "validation": 100, "test": 0}
    for batch_size in (64, 39 * 40 + 1, 1000):
        config = checked("device=cpu", f"train.batch_size={batch_size}")
        check_compatibility(config, list("abcdefghij"), counts, 1)


def test_fixmatch_with_40_labels_and_batches_of_64_is_trained_as_typed(program: Program, tmp_path: Path) -> None:
    words = [
        "method=fixmatch",
        "train.batch_size=64",
        "train.epochs=3",
        "tracking=none",
        "plots=false",
        "output_root=out",
    ]
    status, output = program("train", *words)
    assert status == 0, output
    (run,) = tmp_path.glob("out/runs/fixmatch*")
    assert json.loads((run / "run.json").read_text())["dataset"]["counts"]["labeled"] == 40
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["steps"], summary["epochs"], summary["labeled_steps"]) == (3, 3, 3)
