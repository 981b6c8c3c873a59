"""The order of jobs, the time limit of a sweep, and its announced cost."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from semisup.runtime import atomic_files
from semisup.sweep.cost import announcement, duration_range, estimate
from semisup.sweep.job_order import WITHOUT_PARAMS, coarse_to_fine, ordered_words
from semisup.sweep.job_store import JobStore
from tests import preloaded

TINY = ("train.steps=2", "plots=false", "tracking=none", "method=fixmatch", "method.ratio=1", "augment.strength=0.5")


def test_seed_varies_slowest_and_parameters_of_an_experiment_are_words() -> None:
    params = OmegaConf.create({"augment.strength": "0.25,0.5", "threshold.tau": 0.9})
    words = ordered_words(["threshold.tau=0.7,0.8", "name=x", "seed=0,1"], params, coarse_first=False)
    assert words == ["seed=0,1", "augment.strength=0.25,0.5", "threshold.tau=0.7,0.8", "name=x", WITHOUT_PARAMS]
    assert ordered_words(["a=1", "seed=3", "b=1,2"], None, coarse_first=True) == ["a=1", "seed=3", "b=1,2"]


def test_values_are_ordered_from_coarse_to_fine_under_a_time_limit() -> None:
    assert coarse_to_fine(list("abcde")) == list("aecbd")
    assert coarse_to_fine(list("ab")) == list("ab")
    for count in range(1, 20):
        values = [str(number) for number in range(count)]
        assert sorted(coarse_to_fine(values), key=int) == values
    words = ["threshold.tau=0.5,0.6,0.7,0.8", "'augment.strength=range(0,3)'".strip("'"), "seed=0,1,2"]
    expected = ["seed=0,1,2", "threshold.tau=0.5,0.8,0.6,0.7", "augment.strength=0,2,1"]
    assert ordered_words(words, None, coarse_first=True) == expected
    assert ordered_words(words, None, coarse_first=False) == ["seed=0,1,2", *words[:2]]


def test_folds_vary_as_slowly_as_seeds_and_keep_their_order() -> None:
    words = ["threshold.tau=0.1,0.2,0.3", "seed=0,1", "dataset.fold=0,1,2,3,4"]
    expected = ["seed=0,1", "dataset.fold=0,1,2,3,4", "threshold.tau=0.1,0.3,0.2"]
    assert ordered_words(words, None, coarse_first=True) == expected


def semisup(folder: Path, *words: str) -> tuple[int, str]:
    """Run the program in a folder; what its worker process prints is read too."""
    command = [sys.executable, "-m", "semisup", *words]
    done = preloaded.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def test_time_limit_leaves_whole_jobs_and_the_same_command_continues(tmp_path: Path) -> None:
    words = ["train", "-m", *TINY, "threshold.tau=0.5,0.7", "seed=0,1"]
    status, output = semisup(tmp_path, *words, "sweep.minutes=0.0001")
    assert status == 1, output
    assert "sweep: 4 runs (2 settings x 2 seeds), and for those that use unlabeled images reference runs" in output
    assert "no further run starts after 0.0001 minutes" in output
    limit = "the time limit sweep.minutes is over; type the same command without it to continue"
    assert f"never started: jobs 1, 2, 3 ({limit})" in output
    (folder,) = (tmp_path / "outputs/runs/sweeps").iterdir()
    summary = json.loads((folder / "sweep_summary.json").read_text())
    assert summary["jobs"]["00000"]["status"] == "done"
    assert summary["companions_left"] == [], "the first run has its references"
    assert {summary["jobs"][name]["message"] for name in ("00001", "00003")} == {
        "the time limit sweep.minutes is over; type the same command without it to continue"
    }
    status, output = semisup(tmp_path, *words)
    assert status == 0, output
    assert "sweep: 2 more runs: " in output, "estimated after the first that was not reused"
    assert "4 done (1 reused)" in output
    plan = [
        json.loads((each / "plan.json").read_text())["jobs"] for each in (tmp_path / "outputs/runs/sweeps").iterdir()
    ]
    assert all([job[0] for job in jobs] == ["seed=0", "seed=0", "seed=1", "seed=1"] for jobs in plan)


@pytest.mark.parametrize("value", ["0", "-1", "soon"])
def test_wrong_time_limit_is_refused(value: str, tmp_path: Path) -> None:
    status, output = semisup(tmp_path, "train", "-m", *TINY, "seed=0,1", f"sweep.minutes={value}")
    assert status == 2
    assert output.replace(".0:", ":").startswith(f"semisup train: sweep.minutes={value}: must be ")


def test_only_the_first_trained_job_reads_the_states_of_all_jobs(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    store.begin([["seed=0"]], "one")
    assert [store.is_first_trained() for _ in range(3)] == [True, False, False]
    store.begin([["seed=0"]], "two")
    assert store.is_first_trained()


def test_deleted_states_are_synced_before_the_new_plan_and_rung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(tmp_path)
    store.begin([["seed=0"]], "one")
    entry = tmp_path / "jobs" / "00000.json"
    events: list[tuple[str, bool]] = []
    monkeypatch.setattr(atomic_files, "sync_folder", lambda folder: events.append((folder.name, entry.exists())))
    entry.write_text('{"status": "done"}')
    store.begin([["seed=0"]], "two")
    assert events[0] == ("jobs", False)
    assert events[1][0] == tmp_path.name
    events.clear()
    entry.write_text('{"status": "stopped"}')
    store.begin_rung({"number": 1, "share": 0.5, "jobs": [0], "decisions": []})
    assert events == [("jobs", False), (tmp_path.name, False)]


def test_cost_is_estimated_once_after_the_first_trained_job() -> None:
    def entry(seconds: float, **changes: Any) -> dict[str, Any]:
        return {"status": "done", "kept": False, "seconds": seconds, "companions": []} | changes

    references = {"companions": ["control", "baseline"]}
    first = {"00000": entry(2.0, **references), "00000-control": entry(1.0), "00000-baseline": entry(0.5)}
    line = "sweep: 60 more runs: 1.0 to 1.8 minutes (the first took 2.0 s, its reference runs 1.5 s)"
    assert estimate(first, "00000", 61, 2) == line
    begun = first | {"00001": entry(2.0, **references)}
    assert estimate(begun, "00000", 61, 2) is not None, "the other job has no references yet"
    both = begun | {"00001-control": entry(1.0), "00001-baseline": entry(0.5)}
    assert estimate(both, "00001", 61, 2) is None
    reused = {"00000": entry(0.0, kept=True), "00001": entry(3.0)}
    assert estimate(reused, "00000", 61, 1) is None
    assert estimate(reused, "00001", 61, 1) == "sweep: 59 more runs: 3.0 minutes (the first took 3.0 s)"
    assert estimate({"00000": entry(2.0, status="failed")}, "00000", 61, 2) is None
    assert estimate(first, "00000", 1, 1) is None
    assert duration_range(12, 12) == "12 s"


def test_announcement_counts_runs() -> None:
    assert announcement(None, 1, 1, references=False, minutes=None) == "sweep: as many runs as the search asks for"
    assert announcement(6, 3, 1, references=False, minutes=10) == (
        "sweep: 6 runs (2 settings x 3 seeds); no further run starts after 10 minutes"
    )


def test_announcement_names_folds_as_folds() -> None:
    def counts(jobs: int, seeds: int, folds: int) -> str:
        return announcement(jobs, seeds, folds, references=False, minutes=None)

    assert counts(12, 1, 4) == "sweep: 12 runs (3 settings x 4 folds)"
    assert counts(24, 2, 4) == "sweep: 24 runs (3 settings x 2 seeds x 4 folds)"
    assert counts(4, 1, 4) == "sweep: 4 runs (1 setting x 4 folds)"
    assert counts(1, 1, 1) == "sweep: 1 run"
