"""The table of settings on a terminal: only settings that differ, short names, and no wider than the terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from semisup.analysis.comparison import compare_runs
from semisup.analysis.runs import find_runs, read_runs
from semisup.report.terminal_tables import comparison_tables, short_titles
from tests.report.run_maker import make, plain_of

VARIED = {
    "threshold.tau": "0.1234",
    "augment.strength": "0.4321",
    "optimizer.lr": "0.001234",
    "optimizer.weight_decay": "0.0004321",
    "train.batch_size": "1024",
    "train.ema_decay": "0.99987",
    "schedule.warmup": "0.01234",
    "method.ratio": "7",
    "method.lambda_unlabeled": "0.1234",
    "train.max_grad_norm": "1.2345",
}


def printed(outputs: Path, width: int) -> str:
    console = Console(file=(file := io.StringIO()), width=width)
    for table in comparison_tables(compare_runs(read_runs(find_runs([outputs]))), console):
        console.print(table)
    return file.getvalue()


def test_names_are_shortened_where_this_is_unambiguous() -> None:
    keys = ["threshold.tau", "method.name", "threshold.name", "optimizer.name", "train.steps", "reject.k", "labeler.k"]
    assert short_titles(keys) == {
        "threshold.tau": "tau",
        "method.name": "method",
        "threshold.name": "threshold",
        "optimizer.name": "optimizer",
        "train.steps": "train.\nsteps",
        "reject.k": "reject.\nk",
        "labeler.k": "labeler.\nk",
    }


@pytest.mark.parametrize("width", [80, 120])
def test_ten_settings_fit_into_the_terminal_and_the_rest_is_in_a_file(width: int, tmp_path: Path) -> None:
    for number in range(3):
        words = [f"{key}={value}{number + 1}" if "." in value else f"{key}={value}" for key, value in VARIED.items()]
        words += [f"train.batch_size={1024 + number}", f"method.ratio={7 + number}"]
        make(tmp_path, plain_of("method=fixmatch", *words), val=0.8 + number / 100)
    text = printed(tmp_path, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    header = next(line for line in lines if "val %" in line)
    assert header.split()[:1] == ["tau"], text
    rows = [line for line in lines if line.strip().startswith("0.1234")]
    assert [line.split()[0] for line in rows] == ["0.12343", "0.12342", "0.12341"], "each row on one line"
    assert "in comparison.csv: " in text
    left_out = " ".join(text.partition("in comparison.csv: ")[2].split()).split(", ")
    assert set(left_out) < set(VARIED)
    assert len(left_out) > 2


def test_a_setting_that_only_unfinished_runs_change_is_not_a_column(tmp_path: Path) -> None:
    for tau in (0.5, 0.6):
        make(tmp_path, plain_of(f"threshold.tau={tau}"))
    make(tmp_path, plain_of("threshold.tau=0.5", "optimizer.lr=0.5"), status="failed")
    finished, _, unfinished = printed(tmp_path, 150).partition("Not finished")
    assert " tau " in finished
    assert " lr " not in finished
    assert " lr " in unfinished or "0.5" in unfinished
