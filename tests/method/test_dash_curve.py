"""Dash in a training: its labels-only phase, where rho_0 comes from, and the curve of its threshold by epochs."""

import math
from typing import Any

import pytest

from semisup.training.loop import train
from semisup.training.state import start
from tests.conftest import checked, choose, toy_problem

GAMMA, RHO_MIN, EVERY, WARMUP = 1.5, 0.4, 2, 2


def metrics(method: str, policy: str = "dash") -> list[dict[str, Any]]:
    """The rows of metrics.jsonl of a run of 12 epochs, 3 steps each."""
    config = checked(
        *("model.widths=[8,16]", "train.batch_size=4", "train.epochs=12", "train.ema_decay=0.5", "optimizer.lr=0.01"),
        *choose("method", method, gate=0, refresh_every=1, ramp=0),
        *choose("threshold", policy, scale=1, gamma=GAMMA, rho_min=RHO_MIN, every=EVERY, warmup_epochs=WARMUP),
    )
    problem = toy_problem()
    return [row for event in train(problem, config.settings, start(problem, config.settings)) if (row := event.row())]


@pytest.mark.parametrize("method", ["fixmatch", "mean_teacher", "mixmatch"])
def test_online_threshold_follows_rho_from_the_labeled_loss_of_the_warmup(method: str) -> None:
    rows = metrics(method)
    losses = {row["epoch"]: row["train/loss"] for row in rows if "train/loss" in row}
    thresholds = {row["epoch"]: row["pseudo/threshold"] for row in rows if "pseudo/threshold" in row}
    assert list(thresholds) == list(range(WARMUP + 1, 13)), "no pseudo-label in the labels-only phase"
    rho_0 = losses[WARMUP]
    for epoch, threshold in thresholds.items():
        k = (epoch - 1 - WARMUP) // EVERY  # the row of epoch e is written after e epochs
        rho = max(rho_0 * GAMMA**-k, RHO_MIN)
        assert threshold == pytest.approx(math.exp(-rho), rel=1e-5), epoch
    assert len({round(each, 6) for each in thresholds.values()}) >= 2
    assert thresholds[12] == pytest.approx(math.exp(-RHO_MIN))


def test_warmup_is_bit_identical_to_the_run_with_lambda_0() -> None:
    keys = ("epoch", "train/loss", "val/loss", "val/accuracy")
    first = [[row[key] for key in keys] for row in metrics("fixmatch") if "val/loss" in row][:WARMUP]
    config = checked(
        *("model.widths=[8,16]", "train.batch_size=4", "train.epochs=12", "train.ema_decay=0.5", "optimizer.lr=0.01"),
        *("method=fixmatch", "method.lambda_unlabeled=0"),
    )
    problem = toy_problem()
    rows = [event.row() or {} for event in train(problem, config.settings, start(problem, config.settings))]
    assert first == [[row[key] for key in keys] for row in rows if "val/loss" in row][:WARMUP]


def test_offline_no_image_is_selected_in_the_warmup_and_the_limit_shrinks_by_epochs() -> None:
    rows = [row for row in metrics("self_training") if "pseudo/threshold" in row]
    assert [row["epoch"] for row in rows] == list(range(1, 12))
    assert [row["pseudo/count"] for row in rows[: WARMUP - 1]] == [0] * (WARMUP - 1)
    rhos = [-math.log(row["pseudo/threshold"]) for row in rows[WARMUP - 1 :]]
    assert rhos == pytest.approx([max(rhos[0] * GAMMA ** -(step // EVERY), RHO_MIN) for step in range(len(rhos))])
