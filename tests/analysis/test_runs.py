"""Records that cannot be trusted are reported with the reason."""

import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from semisup.analysis.comparison import compare_runs
from semisup.analysis.diagnosis import unused_reason
from semisup.analysis.runs import find_runs, read_run, read_runs
from semisup.report.html.run_page import run_page
from semisup.report.run_summary import show_run
from semisup.report.wording import summary_sentence
from tests.report.run_maker import make, make_with_references, plain_of


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([(0, "val/accuracy"), (0, "pseudo/round"), (5, "val/accuracy"), (5, "pseudo/round")], ""),
        ([(800, "val/accuracy"), (400, "val/accuracy")], "step 400 follows step 800 (line 2)"),
        ([(0, "val/accuracy"), (5, "val/accuracy"), (5, "val/accuracy")], "step 5 occurs twice (line 3)"),
        ([(5, "pseudo/round"), (5, "val/accuracy"), (5, "pseudo/round")], "step 5 occurs twice (line 3)"),
    ],
)
def test_unordered_or_repeated_steps_are_reported(tmp_path: Path, rows: list[tuple[int, str]], error: str) -> None:
    run = make(tmp_path / "mine", plain_of())
    (run / "metrics.jsonl").write_text("".join(json.dumps({"step": step, name: 1}) + "\n" for step, name in rows))
    result = read_run(run)
    assert result.status == ("unreadable" if error else "done")
    assert result.reason.startswith(f"metrics.jsonl: {error}" if error else "")
    file = io.StringIO()
    show_run(run, Console(file=file, width=300))
    assert error in file.getvalue()


@pytest.mark.parametrize("section", ["train", "sweep", "tracking", "checkpoint", "dataset", "weak"])
def test_config_without_a_section_is_a_row_with_the_reason(tmp_path: Path, section: str) -> None:
    run = make_with_references(tmp_path / "mine", plain_of(), test=0.8, control=0.7, baseline=0.5)
    config = yaml.safe_load((run / "config.yaml").read_text())
    del config[section]
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    (unfinished,) = compare_runs(read_runs(find_runs([tmp_path / "mine"]))).unfinished
    assert unfinished.reason == f"config.yaml: the section {section} is missing"
    assert b"</html>" in run_page(unfinished)


def test_control_with_an_edited_config_is_a_run_of_its_own(tmp_path: Path) -> None:
    """Its folder still has the name of the control, and its config gives another id."""
    run = make_with_references(tmp_path / "mine", plain_of(), test=0.8, control=0.7, baseline=0.5)
    control = tmp_path / "mine" / str(read_run(run).control_id)
    config = yaml.safe_load((control / "config.yaml").read_text())
    config["optimizer"]["lr"] = 0.5
    (control / "config.yaml").write_text(yaml.safe_dump(config))
    comparison = compare_runs(read_runs(find_runs([tmp_path / "mine"])))
    assert len(comparison.runs) == 3
    (row,) = [row for row in comparison.rows if row.controls]
    assert row.controls[0].state == "missing"


def test_stored_reason_for_no_pseudo_label_is_printed(tmp_path: Path) -> None:
    run = make_with_references(tmp_path / "mine", plain_of(), test=0.7, control=0.7, baseline=0.5)
    assert "method.gate" in unused_reason(read_run(run)), "derived for runs of earlier versions"
    summary = json.loads((run / "summary.json").read_text()) | {"unused_reason": "the labeling was never due"}
    (run / "summary.json").write_text(json.dumps(summary))
    assert unused_reason(read_run(run)) == "the labeling was never due"
    file = io.StringIO()
    show_run(run, Console(file=file, width=300))
    assert "no pseudo-label was used: the labeling was never due" in file.getvalue()
    assert "No pseudo-label was used: the labeling was never due." in run_page(read_run(run)).decode()
    sentence = summary_sentence(compare_runs(read_runs(find_runs([tmp_path / "mine"]))))
    assert "no pseudo-label was used: the labeling was never due." in sentence
