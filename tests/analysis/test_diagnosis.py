"""What a run that used no pseudo-label is told; one that used some is not."""

from pathlib import Path

import pytest

from semisup.analysis.diagnosis import explain_unused
from tests.conftest import checked
from tests.report.run_maker import make, plain_of

GATE = "validation never passed method.gate=0.6 when the pool was due to be labeled (its best was 0.500)"


@pytest.mark.parametrize(
    ("words", "coverages", "said"),
    [
        ([], [], GATE),
        ([], [0.0, 0.0], "nothing reached the threshold"),
        ([], [0.3, 0.0], ""),  # the summary tells of the last labeling alone
        (["method.lambda_unlabeled=0"], [], "method.lambda_unlabeled=0 leaves them out"),
        (["method=fixmatch", "method.lambda_unlabeled=0"], [], "method.lambda_unlabeled=0 leaves them out"),
        (["method=supervised"], [], ""),
    ],
)
def test_the_reason_is_the_one(tmp_path: Path, words: list[str], coverages: list[float], said: str) -> None:
    folder = make(tmp_path, plain_of(), labelings=[(each, None) for each in coverages])
    last = {"pseudo/coverage": coverages[-1]} if coverages else {}
    why = explain_unused(checked(*words), folder, {"best/val/accuracy": 0.5} | last)
    assert why.startswith(f"no pseudo-label was used: {said}" if said else ""), why
    assert bool(why) == bool(said)
