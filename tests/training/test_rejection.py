"""Rejection of unlabeled images in a training: weights, diagnostics, exact resuming, and no effect on labels only."""

import dataclasses
from typing import Any

import pytest
import torch

from semisup.core.events import EpochEnd, PoolLabeled, StepEnd
from semisup.errors import SettingError
from semisup.reject import ACCEPTED, LIMIT, SCORE
from semisup.runner.compatibility import check_compatibility
from semisup.training.loop import train
from semisup.training.state import TrainingData, start
from tests.conftest import checked, options, toy_problem
from tests.training.test_loop import everything, resumed_at, rows_of, same_weights, settings

METHODS = [name for name in options("method") if name not in ("supervised", "mixmatch")]
REJECTS = [name for name in options("reject") if name != "none"]
COMBINATIONS = [
    *((method, "max_logit") for method in METHODS),
    *(("fixmatch", name) for name in REJECTS if name != "max_logit"),
    ("self_training", "knn"),
]


def rejecting(method: str, reject: str, *more: str, **other: Any) -> Any:
    return settings(f"reject={reject}", "reject.keep=0.7", *more, method=method, **other)


def open_problem() -> TrainingData:
    """A problem in which every other unlabeled image lies between two classes and is of none of them."""
    problem = toy_problem(unlabeled=60)
    pixels, truth = problem.unlabeled.pixels[:].clone(), problem.hidden_targets.clone()
    pixels[::2] = ((pixels[::2].float() + pixels[1::2].float()) / 2).to(torch.uint8)
    truth[::2] = problem.num_classes
    unlabeled = dataclasses.replace(problem.unlabeled, pixels=pixels)
    return dataclasses.replace(problem, unlabeled=unlabeled, hidden_targets=truth)


def labelings(problem: TrainingData, chosen: Any) -> list[PoolLabeled]:
    return [event for event in train(problem, chosen, start(problem, chosen)) if isinstance(event, PoolLabeled)]


@pytest.mark.parametrize(("method", "reject"), COMBINATIONS)
def test_rejected_images_have_weight_0_and_their_score_is_reported(method: str, reject: str) -> None:
    problem = open_problem()
    events = labelings(problem, rejecting(method, reject, "threshold.tau=0"))
    assert max(event.metrics["pseudo/rejected"] for event in events) > 0
    for event in events:
        assert event.scores is not None
        assert event.scores.shape == (60,)
        seen = event.labels.targets >= 0
        accepted = event.scores >= event.metrics["pseudo/reject_limit"]
        assert torch.equal(event.selection.weight[seen] > 0, accepted[seen]), "tau=0 selects what is accepted"
        assert event.metrics["pseudo/rejected"] == pytest.approx(float((~accepted[seen]).float().mean()))
        assert 0 <= event.metrics["pseudo/reject_auroc"] <= 1
        assert 0 <= event.metrics["pseudo/other"] <= 1


def test_scores_separate_images_between_classes_from_those_of_a_class() -> None:
    last = labelings(open_problem(), rejecting("fixmatch", "knn", "threshold.tau=0", epochs=8))[-1]
    without = labelings(open_problem(), settings("threshold.tau=0", method="fixmatch", epochs=8))[-1]
    assert last.metrics["pseudo/reject_auroc"] > 0.9
    assert last.metrics["pseudo/other"] < 0.5 * without.metrics["pseudo/other"]


@pytest.mark.parametrize(("method", "reject"), COMBINATIONS)
@pytest.mark.parametrize(("kind", "stop"), [(StepEnd, 2), (EpochEnd, 2)])
def test_resumed_run_is_bit_identical(method: str, reject: str, kind: type, stop: int) -> None:
    problem, chosen = open_problem(), rejecting(method, reject, epochs=4)
    rows, weights, end = everything(problem, chosen)
    again_rows, again_weights, again_end = resumed_at(stop, kind, problem, chosen)
    assert again_rows == rows
    assert same_weights(weights, again_weights)
    assert again_end == end


@pytest.mark.parametrize("method", METHODS)
def test_limit_that_accepts_all_images_changes_nothing(method: str) -> None:
    plain, weights, _ = everything(toy_problem(), settings(method=method))
    chosen = settings("reject=max_logit", "reject.limit=-1000", method=method)
    rows, accepted_weights, _ = everything(toy_problem(), chosen)
    assert [
        {k: v for k, v in row.items() if not k.startswith(("pseudo/reject", "pseudo/rejected"))} for row in rows
    ] == plain
    assert same_weights(weights, accepted_weights)


@pytest.mark.parametrize("method", METHODS)
def test_limit_that_accepts_no_image_gives_no_nan(method: str) -> None:
    rows, weights, _ = everything(toy_problem(), settings("reject=energy", "reject.limit=1000", method=method))
    assert all(value is None or value == value for row in rows for value in row.values())
    labelings = [row for row in rows if "pseudo/coverage" in row]
    assert labelings
    assert all((row["pseudo/coverage"], row["pseudo/rejected"]) == (0, 1) for row in labelings)
    assert all(bool(torch.isfinite(values).all()) for values in weights.values())


@pytest.mark.parametrize("method", METHODS)
def test_run_without_unlabeled_loss_has_no_scores(method: str) -> None:
    chosen = settings("reject=knn", "method.lambda_unlabeled=0", method=method)
    rows, weights, _ = everything(toy_problem(), chosen)
    expected_rows, expected, _ = everything(toy_problem(), settings("method.lambda_unlabeled=0", method=method))
    assert rows == expected_rows
    assert same_weights(weights, expected)


def test_labeled_images_are_never_rejected() -> None:
    problem, chosen = open_problem(), rejecting("fixmatch", "energy", epochs=1)
    state = start(problem, chosen)
    list(train(problem, chosen, state))
    assert torch.equal(state.memory[ACCEPTED][60:], torch.ones(12))
    assert torch.equal(state.memory[ACCEPTED][:60] > 0, state.memory[SCORE] >= state.memory[LIMIT])


def test_interrupted_scoring_is_repeated() -> None:
    problem, chosen = open_problem(), rejecting("fixmatch", "energy", "train.eval_batch_size=7", epochs=2)
    rows, weights, _ = everything(problem, chosen)
    state = start(problem, chosen)
    events = []
    running = train(problem, chosen, state)
    for event in running:
        if getattr(event, "phase", "") == "scoring" and event.step > 0 and event.done > 20:
            running.close()
            break
        events.append(event)
    events += train(problem, chosen, state)
    assert rows_of(events) == rows
    assert same_weights(state.student.state_dict(), weights)


def test_more_neighbors_than_labeled_images_are_refused() -> None:
    config = checked("reject=knn", "reject.k=50")
    counts = {"labeled": 40, "unlabeled": 100, "validation": 50}
    with pytest.raises(SettingError, match=r"^reject.k=50: must be at most 40, the number of labeled images$"):
        check_compatibility(config, list("0123456789"), counts, 1)
