"""The summary of a comparison in W&B."""

import json
from pathlib import Path

import pytest

from semisup.analysis.comparison import compare_runs
from semisup.analysis.confirmation import FILE, confirmation_folder, read_confirmation
from semisup.analysis.runs import find_runs, read_runs
from semisup.report.wandb_report import gain_values, upload_comparison
from semisup.tracking import NullTracker
from tests.report.run_maker import make, make_with_references, plain_of
from tests.report.test_wording import CELL, sweep


class Recorder(NullTracker):
    """A tracker that keeps the summary."""

    def __init__(self) -> None:
        self.summary: dict[str, object] = {}

    def close(self, summary: dict[str, object], exit_code: int) -> None:
        self.summary = summary


def summary_of(folder: Path) -> dict[str, object]:
    recorder = Recorder()
    upload_comparison(recorder, compare_runs(read_runs(find_runs([folder]))), "The sentence.", folder)
    return recorder.summary


def test_confirmation_is_in_the_summary_once_it_is_complete(tmp_path: Path) -> None:
    sweep(tmp_path / "mine", 3, 0.08)
    place = confirmation_folder(tmp_path / "mine")
    sweep(place, 3, 0.05, first=3, cells=1)
    plan = {"schema": 1, "settings": {"threshold.tau": 0.9}, "config": plain_of("method=self_training", CELL)}
    plan |= {"labels_only": None, "redraw_labels": True, "seeds": [3, 4, 5, 6]}
    (place / FILE).write_text(json.dumps(plan))
    before = summary_of(tmp_path / "mine")
    assert before["gain_over_control_evidence"] == "suggestive"
    assert not [name for name in before if name.startswith("confirmed/")]
    (place / FILE).write_text(json.dumps(plan | {"seeds": [3, 4, 5]}))
    after = summary_of(tmp_path / "mine")
    result = read_confirmation(tmp_path / "mine")
    assert result is not None
    assert result[1] is not None
    interval = result[1].gains["control"].interval
    assert interval is not None
    assert after["confirmed/gain_over_control_points"] == pytest.approx(interval.mean)
    assert after["confirmed/gain_over_control_points_low"] == interval.low
    assert (after["confirmed/gain_over_control_evidence"], after["confirmed/seeds"]) == ("clear", 3)
    assert before.items() <= after.items()


def test_gains_over_missing_references_have_no_values(tmp_path: Path) -> None:
    alone = make(tmp_path / "mine", plain_of("threshold.tau=0.5"))
    assert gain_values(compare_runs(read_runs([alone]))) == {}
    config = plain_of("threshold.tau=0.9", "augment.strength=0.1")
    folder = make_with_references(tmp_path / "mine", config, test=0.8, control=0.7, baseline=None)
    values = gain_values(compare_runs(read_runs(find_runs([tmp_path / "mine"]))))
    assert set(values) == {str(alone), str(folder)}
    assert [name for name in values[str(alone)] if name.startswith("gain")] == ["gain_over_labels_only_points"]
    own = values[str(folder)]
    assert own["gain_over_control_points"] == pytest.approx(10)
    assert "gain_over_baseline_points" not in own
    assert "setting/gain_over_control_points_low" not in own, "one seed has no interval"
