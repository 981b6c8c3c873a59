"""A run that is killed at any point resumes bit-identically, and the oracles detect every planted defect."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SOAK
from tests.kill.attempt import RUNS
from tests.reliability import report

ROOT = Path(__file__).resolve().parents[2]
WHOLE = SOAK or os.environ.get("SEMISUP_WRITE_RELIABILITY") == "1"
"""Whether the points are tried whose figures are in the docs."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of tests.kill.__main__."""
    place = tmp_path_factory.mktemp("kill")
    if os.access("/dev/shm", os.W_OK):
        place = Path("/dev/shm") / f"semisup-kill-{os.getpid()}"  # a kill loses nothing there either, and it is faster
    # a new interpreter: its 700 forks cost less than those of the larger process that `preloaded` forks
    command = [sys.executable, "-m", "tests.kill", str(place), *["--whole"] * WHOLE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout))


Told = Callable[[str, object], None]


@pytest.mark.parametrize("run", RUNS)
def test_run_killed_at_any_point_resumes_bit_identically(
    found: dict[str, Any], run: str, record_property: Told
) -> None:
    kills = found["kills"][run]
    told(record_property, kills)
    assert kills["wrong"] == []
    assert {"step", "write", "write, half of it", "fsync", "replace", "unlink", "link"} <= set(kills["points"])
    assert sum(kills["points"].values()) > 50


@pytest.mark.parametrize("run", RUNS)
def test_harness_sees_every_file_operation(found: dict[str, Any], run: str) -> None:
    assert found["unseen"][run] == {}


def told(record_property: Told, kills: dict[str, Any]) -> None:
    injected = sum(kills["points"].values())
    record_property("faults", (injected, injected - len(kills["wrong"])))


def test_sigterm_at_any_point_saves_the_run(found: dict[str, Any], record_property: Told) -> None:
    told(record_property, found["asked to stop"])
    assert found["asked to stop"]["wrong"] == []
    assert {"step", "write", "fsync", "replace", "mkdir"} <= set(found["asked to stop"]["points"])


def test_full_disk_at_any_write_is_named_and_the_run_resumes(found: dict[str, Any], record_property: Told) -> None:
    told(record_property, found["full disk"])
    assert found["full disk"]["wrong"] == []
    assert set(found["full disk"]["points"]) == {"write", "write, half of it", "fsync", "mkdir"}


def test_process_killed_while_resuming_resumes_bit_identically(found: dict[str, Any], record_property: Told) -> None:
    told(record_property, found["second"])
    assert found["second"]["wrong"] == []
    assert {"rename", "replace", "unlink"} <= set(found["second"]["points"]), "the lock taken over, logs replaced"


@pytest.mark.parametrize("run", RUNS)
def test_crash_loop_completes(found: dict[str, Any], run: str, record_property: Told) -> None:
    loops = found["loops"][run]
    record_property("faults", (loops["loops"], loops["loops"] - len(loops["wrong"])))
    assert loops["wrong"] == []
    assert loops["deaths"] > 2 * loops["loops"]


@pytest.mark.parametrize("run", RUNS)
def test_damaged_state_is_skipped_and_never_restarts_silently(found: dict[str, Any], run: str) -> None:
    assert [how for how, wrong in found["damage"][run].items() if wrong] == []


@pytest.mark.parametrize("run", RUNS)
def test_power_loss_loses_nothing_that_was_saved(found: dict[str, Any], run: str, record_property: Told) -> None:
    disks, wrong = found["outages"][run]
    record_property("faults", (disks, 0 if wrong else disks))
    assert wrong == ""
    assert disks > 100


def test_every_planted_defect_is_detected(found: dict[str, Any]) -> None:
    assert [name for name, how in found["defects"] if not how] == []


@pytest.mark.skipif(not WHOLE, reason="the docs have the figures of all points: make reliability")
def test_the_figures_are_in_the_docs(found: dict[str, Any]) -> None:
    places = {f"`{run}`": found["kills"][run] for run in RUNS} | {"`fixmatch`, while it resumes": found["second"]}
    kinds = sorted(set().union(*(each["points"] for each in places.values())))
    totals = {place: Counter(each["points"]) for place, each in places.items()}
    rows = [[kind, *(counts[kind] or "" for counts in totals.values())] for kind in kinds]
    survived = [sum(each["points"].values()) - len(each["wrong"]) for each in places.values()]
    rows += [["**injected**", *(sum(counts.values()) for counts in totals.values())], ["**survived**", *survived]]
    text = """
The test kills the program by SIGKILL before every operation on its files, in the middle of every write, and at every
event of its training, and then gives the same command again. The run survives if its metrics, pseudo-labels,
weights and summary are bit-identical to those of an uninterrupted run, if no step that was saved before the kill is
trained again, and if no temporary files remain. `python -m tests.kill FOLDER --whole` kills the program at every point;
`make check` kills it at some of these points.
"""
    report("a-kill", "Killed at every point", text, ["killed at", *places], rows)

    loops = [found["loops"][run] for run in RUNS]
    deaths = ", ".join(str(each["deaths"]) for each in loops)
    rows_of_others: list[list[object]] = [
        [f"killed at random until done ({deaths} kills)", *_score(loops, "loops")],
        ["the newest state damaged: a bit, its end, all of it", *_passed(found["damage"])],
        ["power lost after every operation: disks there may be", *_disks(found["outages"])],
    ]
    report(
        *("a-kill-more", "Killed again and again, damaged, without power"),
        "The same three conditions must hold if the program is killed repeatedly, if its newest state is damaged, and "
        "after a loss of power. After a loss of power, every checkpoint that was completely saved must also exist, "
        "with its logs.",
        *(["what", "injected", "survived"], rows_of_others),
    )

    caught = [name for name, how in found["defects"] if how]
    text = f"""
{len(caught)} of {len(found["defects"])} planted defects were detected. A planted defect is a mistake that was put
into the program on purpose (`tests/kill/defects.py`), to check that the tests above detect it. Examples are optimizer
moments that are not saved, and logs that are not cut when a run continues. The table lists the defects that were not
detected.
"""
    missed = [[name] for name, how in found["defects"] if not how]
    report("a-planted", "Planted defects", text, ["planted defect that was not detected"], missed)


def _score(results: list[dict[str, Any]], of: str) -> list[int]:
    injected = sum(each[of] for each in results)
    return [injected, injected - sum(len(each["wrong"]) for each in results)]


def _passed(damage: dict[str, dict[str, str]]) -> list[int]:
    all_of_them = [wrong for each in damage.values() for wrong in each.values()]
    return [len(all_of_them), all_of_them.count("")]


def _disks(outages: dict[str, list[Any]]) -> list[int]:
    count = sum(disks for disks, _ in outages.values())
    return [count, count if not any(wrong for _, wrong in outages.values()) else 0]
