"""The reason why a run used no pseudo-label."""

from pathlib import Path

import pytest

from semisup.analysis.diagnosis import explain_unused
from tests.conftest import checked
from tests.report.run_maker import make, plain_of

ZERO = "method.lambda_unlabeled=0 leaves the unlabeled images out"
GATE = "validation accuracy never reached method.gate=0.6 when a labeling was due (its best was 0.500)"


@pytest.mark.parametrize(
    ("overrides", "coverages", "reason"),
    [
        ([], [], GATE),
        ([], [0.0, 0.0], "no confidence reached the threshold"),
        ([], [0.3, 0.0], ""),  # the summary holds the last labeling only
        (["method.lambda_unlabeled=0"], [], ZERO),
        (
            ["method=fixmatch", "method.lambda_unlabeled=0"],
            [],
            "method.lambda_unlabeled=0 leaves the unlabeled images out",
        ),
        (["method=supervised"], [], ""),
    ],
)
def test_unused_reason_names_the_cause(
    tmp_path: Path, overrides: list[str], coverages: list[float], reason: str
) -> None:
    folder = make(tmp_path, plain_of(), labelings=[(coverage, None) for coverage in coverages])
    last = {"pseudo/coverage": coverages[-1]} if coverages else {}
    why = explain_unused(checked(*overrides), folder, {"best/val/accuracy": 0.5} | last)
    assert why.startswith(f"no pseudo-label was used: {reason}" if reason else ""), why
    assert bool(why) == bool(reason)
