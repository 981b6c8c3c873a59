"""`explain_unused` gives the true reason, and nothing for a run that used pseudo-labels."""

import json
from pathlib import Path

import pytest

from semisup.analysis.diagnosis import explain_unused, find_unused_reason
from tests.conftest import checked
from tests.report.run_maker import make, plain_of

BELOW_GATE = (
    "validation accuracy never exceeded method.gate=0.6 when the unlabeled set was due to be labeled "
    "(after epoch 1: at most 0.500); train longer, or type method.gate=0.45"
)


@pytest.mark.parametrize(
    ("overrides", "coverages", "reason"),
    [
        (["method.gate=0.6"], [], BELOW_GATE),
        ([], [0.0, 0.0], "no confidence reached the threshold"),
        ([], [0.3, 0.0], ""),  # the summary has only the last labeling
        (["method.lambda_unlabeled=0"], [], "method.lambda_unlabeled=0 trains on the labels alone"),
        (
            ["method=fixmatch", "method.lambda_unlabeled=0"],
            [],
            "method.lambda_unlabeled=0 trains on the labels alone",
        ),
        (["method=supervised"], [], ""),
    ],
)
def test_reason_is_stated(tmp_path: Path, overrides: list[str], coverages: list[float], reason: str) -> None:
    folder = make(tmp_path, plain_of(), val=0.5, labelings=[(each, None) for each in coverages])
    last = {"pseudo/coverage": coverages[-1]} if coverages else {}
    line = explain_unused(checked(*overrides), folder, {"best/val/accuracy": 0.5} | last)
    assert line.startswith(f"no pseudo-label was used: {reason}" if reason else ""), line
    assert bool(line) == bool(reason)


def explain(folder: Path, rows: list[dict[str, float]], steps: int) -> str:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    best = max(row["val/accuracy"] for row in rows)
    words = ("method.gate=0.3", "method.refresh_every=20")
    return explain_unused(checked(*words), folder, {"best/val/accuracy": best, "steps": steps})


def test_accuracy_above_the_gate_between_two_due_epochs_is_stated(tmp_path: Path) -> None:
    accuracies = [0.104, 0.5, 0.784]
    rows = [{"step": 10 * epoch, "epoch": epoch, "val/accuracy": each} for epoch, each in enumerate(accuracies, 1)]
    line = explain(tmp_path, rows, steps=30)
    assert (
        "(after epoch 1: at most 0.104), but did at another time (0.784); lower method.gate or method.refresh_every"
        in line
    )


def test_run_of_one_epoch_was_never_due(tmp_path: Path) -> None:
    line = explain(tmp_path, [{"step": 10, "epoch": 1, "val/accuracy": 0.9}], steps=10)
    assert "the unlabeled set was never due to be labeled (method.refresh_every=20)" in line


@pytest.mark.parametrize(
    ("gate", "chance", "advice"),
    [
        ("0.6", 0.3, "; train longer, or type method.gate=0.45"),
        ("0.6", 0.46, "; train longer, or type method.gate=auto"),
        ("0.6", 0.5, ", and guessing may reach 0.500; label more images, or train longer: train.epochs=60"),
        ("auto", 0.523, "; label more images, or train longer: train.epochs=60"),
    ],
)
def test_suggested_gate_is_never_below_chance(tmp_path: Path, gate: str, chance: float, advice: str) -> None:
    folder = make(tmp_path, plain_of(), val=0.5)
    reason = find_unused_reason(checked(f"method.gate={gate}"), folder, {"best/val/accuracy": 0.5}, lambda: chance)
    named = "auto (0.523)" if gate == "auto" else gate
    due = "when the unlabeled set was due to be labeled (after epoch 1: at most 0.500)"
    assert reason == f"validation accuracy never exceeded method.gate={named} {due}{advice}"


def test_threshold_that_would_have_selected_a_tenth_is_suggested(tmp_path: Path) -> None:
    folder = make(tmp_path, plain_of(), val=0.5, labelings=[(0.0, None)])
    shares = {0.0: 1.0, 0.3: 0.4, 0.41: 0.12, 0.5: 0.05, 0.9: 0.0}
    rows = "".join(f"10,1,pool,{tau},{share},\n" for tau, share in shares.items())
    (folder / "what_if.csv").write_text(f"step,epoch,on,tau,coverage,accuracy\n{rows}")
    summary = {"best/val/accuracy": 0.5, "pseudo/coverage": 0.0}
    line = explain_unused(checked(), folder, summary)
    assert "no confidence reached the threshold; threshold.tau=0.41 would have selected 12% of the unlabeled" in line
    assert "a lower threshold" in explain_unused(checked("threshold=quantile"), folder, summary)


@pytest.mark.parametrize(
    ("overrides", "rejected", "reason"),
    [
        (["reject.limit=1000"], 1.0, "reject.limit=1000 rejects every unlabeled image; use a lower limit"),
        ([], 1.0, "reject.keep=0.95 rejects every unlabeled image; use a larger share, or reject=none"),
        ([], 0.25, "no image that reject.keep=0.95 accepts reached the threshold (25% of the unlabeled images are "),
        ([], 0.0, "no confidence reached the threshold; threshold.tau=0.41 would have selected 12%"),
    ],
)
def test_rejection_is_the_reason_if_it_leaves_no_image(
    tmp_path: Path, overrides: list[str], rejected: float, reason: str
) -> None:
    folder = make(tmp_path, plain_of(), val=0.5, labelings=[(0.0, None)])
    rows = "".join(f"10,1,pool,{tau},{share},\n" for tau, share in {0.41: 0.12, 0.5: 0.11, 0.65: 0.11}.items())
    (folder / "what_if.csv").write_text(f"step,epoch,on,tau,coverage,accuracy\n{rows}")
    config = checked("reject=energy", "threshold.tau=0.5", *overrides)
    line = explain_unused(config, folder, {"pseudo/coverage": 0.0, "pseudo/rejected": rejected})
    assert line.startswith(f"no pseudo-label was used: {reason}"), line
