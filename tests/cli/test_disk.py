"""`semisup disk`: what it counts, what it deletes, and what it must never delete."""

import json
import sys
from pathlib import Path

import pytest

from semisup.__main__ import main
from semisup.record import checkpoint
from semisup.record.lock import RunLock
from semisup.runner.disk_usage import clean, measure
from tests.report.run_maker import make, plain_of


def disk(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["semisup", "disk", *map(str, words)])
        status = main()
    output = capsys.readouterr()
    return status, output.out + output.err


def write(path: Path, size: int = 5000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


class Place:
    """A folder of outputs with a finished and an unfinished run, a shared start, caches, W&B files and own files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.finished = make(root / "mine", plain_of())
        self.unfinished = make(root / "mine", plain_of(seed=1), status="interrupted")
        for run in (self.finished, self.unfinished):
            for kind in ("best", "last"):
                checkpoint.save(write(run / "checkpoints" / "notes.txt").parent, kind, 3, {"step": 3})
        start = root / "mine" / ".shared_start" / "0123456789abcdef"
        start.mkdir(parents=True)
        self.removable = [
            *(self.finished / "checkpoints").glob("last-*.pt"),
            checkpoint.save(start, "shared_start", 1, {"step": 1}),
            write(root / ".cache" / "index" / f"{'0a' * 32}.json"),
            write(root / ".cache" / "duplicates" / f"{'0b' * 32}.json"),
            write(root / ".cache" / "packs" / f"{'0c' * 32}.pack"),
            write(root / ".cache" / "features" / ("0d" * 16) / f"{'0e' * 16}.rows"),
        ]
        write(root / ".cache" / "features" / ("0d" * 16) / "lock", 0)
        own = [
            *("mine/thesis.tex", ".cache/mine.json", ".cache/packs/mine.pack", "mine/.shared_start/mine.pt"),
            *("wandb/offline-run-1/run.wandb", "mine/photos/last-00000001-0123456789abcdef.pt"),
        ]
        for name in own:
            write(root / name)
        (root / "mine" / "link").symlink_to(
            write(root.parent / "outside" / ".cache" / "packs" / f"{'0c' * 32}.pack").parent
        )
        self.outside = next((root.parent / "outside").rglob("*.pack"))

    def files(self) -> set[Path]:
        names = ("owner.json", "owner.lock", "lock")
        return {path for path in self.root.parent.rglob("*") if path.is_file() and path.name not in names}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "outputs")


def test_usage_is_listed_by_kind_and_nothing_is_deleted(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    before = place.files()
    status, output = disk(capsys, place.root)
    assert status == 0
    for kind in ("records of runs", "best models", "states of unfinished runs", "W&B files", "other files"):
        (line,) = [line for line in output.splitlines() if f"  {kind}" in line]
        assert "can be deleted" not in line
    for kind in ("states of finished runs", "shared starts", "decoded images", "stored features"):
        assert f"{kind}  can be deleted" in output
    assert f"in 6 files can be made again: semisup disk {place.root} --clean deletes them" in output
    assert place.files() == before


def test_clean_deletes_only_what_can_be_made_again(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    before = place.files()
    assert len(place.removable) == 6
    status, output = disk(capsys, place.root, "--clean", "--yes")
    assert status == 0, output
    assert before - place.files() == set(place.removable)
    assert place.outside.is_file()
    assert "deleted 0.0 MB" in output
    assert not list((place.root / "mine" / ".shared_start").glob("0*")), "with its lock"
    assert "nothing can be deleted" in disk(capsys, place.root, "--clean", "--yes")[1]


@pytest.mark.parametrize(("answer", "deleted"), [("y", True), ("", False), ("no", False)])
def test_clean_asks_on_a_terminal(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: str, deleted: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    status, output = disk(capsys, place.root, "--clean")
    assert status == 0
    assert ("nothing was deleted" in output) is not deleted
    assert place.removable[0].exists() is not deleted


def test_clean_without_a_terminal_needs_yes(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    status, output = disk(capsys, place.root, "--clean")
    assert (status, "add --yes" in output) == (2, True)
    assert all(path.exists() for path in place.removable)


def test_live_run_keeps_its_files_and_the_caches(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    lock = RunLock(place.unfinished)
    lock.acquire()
    try:
        status, output = disk(capsys, place.root, "--clean", "--yes")
    finally:
        lock.release()
    assert status == 0
    assert "1 run in progress, such as " in output
    assert [path.exists() for path in place.removable] == [False, *[True] * 5]
    assert len(list((place.unfinished / "checkpoints").glob("*.pt"))) == 2


def test_shared_start_in_use_is_not_deleted(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    lock = RunLock(place.removable[1].parent)
    lock.acquire()
    try:
        status, output = disk(capsys, place.root, "--clean", "--yes")
    finally:
        lock.release()
    assert (status, place.removable[1].exists()) == (1, True)
    assert "1 file in use" in output


def test_run_that_starts_after_the_question_keeps_its_states(place: Place) -> None:
    usage = measure(place.root)
    (place.finished / "summary.json").unlink()  # trained again meanwhile
    lock = RunLock(place.finished)
    lock.acquire()
    try:
        assert sorted(clean(usage)[1]) == sorted(place.removable), "nor may it lose the caches that it reads"
    finally:
        lock.release()
    assert clean(usage)[1] == [place.removable[0]], "not finished"
    assert [path.exists() for path in place.removable] == [True, *[False] * 5]


def test_lock_file_of_stored_features_remains(place: Place) -> None:
    lock = place.removable[-1].parent / "lock"
    before = lock.stat().st_ino
    assert clean(measure(place.root))[1] == []
    assert lock.stat().st_ino == before


def test_folder_without_runs_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "photos" / "last.pt")
    status, output = disk(capsys, tmp_path / "photos", "--clean", "--yes")
    assert (status, "contains no files of semisup" in output) == (2, True)
    assert disk(capsys, tmp_path / "nowhere")[0] == 2
    assert json.dumps(sorted(path.name for path in tmp_path.rglob("*"))) == '["last.pt", "photos"]'
