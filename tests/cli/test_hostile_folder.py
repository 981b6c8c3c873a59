"""Test the commands on folders with all kinds of files: they continue, start no program, and escape every name."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from semisup.core.csv_cells import restore_cell
from semisup.text import escape_name
from tests import preloaded
from tests.images import outcomes
from tests.images.outcomes import CONVERTED, KINDS, QUARANTINED
from tests.images.test_outcomes import name_of
from tests.images.zoo import noise, pictures, saved

CLASSES = ("crème".encode(), b"<img src=x onerror=alert(1)>", b"$\\frac{", b"new\nline\x1b[2J\xe2\x80\xae\xff")
PROGRAMS = ("gs", "gswin64c", "pdftoppm", "epstopdf", "convert", "magick", "inkscape", "rsvg-convert", "xdg-open")
SMALL = (
    "train.epochs=2",
    "model.widths=[8,16]",
    "tracking=none",
    "train.batch_size=4",
    "method.gate=0",
    "threshold.tau=0",
)


class Place:
    """Folder of hostile images, and the output of the program that was run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, ""
        self.photos = folder / "photos"
        seed = 0
        for part, count in (("training/labeled", 4), ("validation", 2), ("testing", 2)):
            for name in CLASSES:
                place = os.path.join(os.fsencode(self.photos / part), name)
                os.makedirs(place)
                for number in range(count):
                    seed += 1
                    file = outcomes.NAMES[3] if number == 0 else b"%d.png" % number
                    with open(os.path.join(place, file), "wb") as picture:
                        picture.write(saved(noise(20, 20, seed), "PNG"))
        (self.photos / "training/unlabeled").mkdir()
        self.ignored = outcomes.fill(self.photos / "training/unlabeled")
        self.canary = folder / "canary"
        (folder / "bin").mkdir()
        for name in PROGRAMS:
            (folder / "bin" / name).write_text(f"#!/bin/sh\ntouch {self.canary}\n")
            (folder / "bin" / name).chmod(0o755)

    def semisup(self, *words: object, expected: int = 0) -> str:
        path = os.pathsep.join([str(self.folder / "bin"), os.environ["PATH"]])
        command = [sys.executable, "-m", "semisup", *map(str, words)]
        environment = os.environ | {"PATH": path, "COLUMNS": "200", "PYTHONIOENCODING": "ascii"}
        done = preloaded.run(command, cwd=self.folder, env=environment, capture_output=True, timeout=240)
        out, told = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == expected, out + told
        self.said += out + told
        return out


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("hostile"))
    folder = ("dataset=folder", "dataset.root=photos", "dataset.size=16", "dataset.max_bad_fraction=0.9")
    place.semisup("train", *folder, *SMALL)
    place.semisup("compare", "outputs/runs")
    (run,) = [path.parent for path in place.folder.glob("outputs/runs/*/summary.json")]
    place.semisup("show", run)
    place.semisup("predict", run, "photos/training/unlabeled", "--output", "classes.csv")
    place.semisup("predict", run, "photos/testing")
    return place


def run_of(place: Place) -> Path:
    (run,) = [path.parent for path in place.folder.glob("outputs/runs/*/summary.json")]
    return run


def named(outcome: str) -> dict[str, str]:
    """Return the test files with this outcome: name -> rule."""
    found = {name_of(word): kind.rule for kind in KINDS if kind.outcome == outcome for word in kind.names}
    if os.geteuid() == 0:  # who may read what nobody may
        locked = {"locked.png": "unreadable"}
        return found | locked if outcome == CONVERTED else {name: found[name] for name in found if name not in locked}
    return found


def test_run_continues_and_its_data_report_lists_every_file(place: Place) -> None:
    report = json.loads((run_of(place) / "data_report.json").read_text())
    assert report["ignored"] == place.ignored
    assert report["quarantined"]["unlabeled"] == {
        f"training/unlabeled/{name}": rule for name, rule in named(QUARANTINED).items()
    }
    assert report["first_frame_of_several"]["unlabeled"] == sum(kind.animated for kind in pictures())
    about = json.loads((run_of(place) / "run.json").read_text())
    assert about["dataset"]["counts"]["unlabeled"] == len(named(CONVERTED))


def test_refused_run_lists_every_unusable_file(place: Place) -> None:
    place.semisup(
        "train", "dataset=folder", "dataset.root=photos", "dataset.size=16", "name=strict", *SMALL, expected=2
    )
    (report,) = place.folder.glob("outputs/strict/*/data_report.json")
    assert f"; all of them: {report.relative_to(place.folder)}\n" in place.said
    accepted = json.loads((run_of(place) / "data_report.json").read_text())
    assert json.loads(report.read_text())["quarantined"] == accepted["quarantined"]


def test_data_report_of_an_earlier_run_is_not_named_in_an_error(place: Place) -> None:
    said = len(place.said)
    place.semisup("train", "dataset=folder", "dataset.root=photos", "dataset.size=16", *SMALL, expected=2)
    assert "unusable image(s)" in place.said[said:], "a run that is finished, of which more is asked now"
    assert "all of them" not in place.said[said:]


def test_every_file_has_a_row_in_the_csv_files(place: Place) -> None:
    with open(run_of(place) / "pseudo_labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["path"] for row in rows} == {f"training/unlabeled/{name}" for name in named(CONVERTED)}
    assert {row["class"] for row in rows} <= {escape_name(name.decode("utf-8", "surrogateescape")) for name in CLASSES}
    with open(place.folder / "classes.csv", newline="", encoding="utf-8") as file:
        problems = {restore_cell(row["path"]): row["problem"] for row in csv.DictReader(file)}
    ignored = {name for name, problem in problems.items() if problem.startswith("ignored: ")}
    assert {"notes.txt", ".DS_Store", "Thumbs.db"} <= ignored
    classified = {name: problem for name, problem in problems.items() if name not in ignored}
    assert classified == dict.fromkeys(named(CONVERTED), "") | named(QUARANTINED)


def test_files_in_the_data_set_start_no_program(place: Place) -> None:
    assert not place.canary.exists()
    subprocess.run([place.folder / "bin" / "gs"], check=True, timeout=10)
    assert place.canary.exists(), "it would have told"


def test_names_are_escaped_wherever_they_are_written(place: Place) -> None:
    texts = {"the terminal": place.said}
    for path in (place.folder / "outputs").rglob("*"):
        if path.suffix in (".json", ".jsonl", ".csv", ".yaml", ".html", ".log", ".md"):
            texts[path.name] = path.read_text(encoding="utf-8")
    assert {"report.html", "data_report.json", "predictions.csv", "classes.csv"} <= set(texts)
    strange = {
        name: {letter for letter in text if not letter.isprintable()} - set("\n") for name, text in texts.items()
    }
    assert {name: letters for name, letters in strange.items() if letters} == {}
    page = texts["report.html"]
    assert "&lt;img src=x onerror=alert(1)&gt;" in page, "it is there"
    assert "<img src=x" not in page
    for line in texts["predictions.csv"].splitlines()[1:]:
        (row,) = csv.reader(io.StringIO(line))
        assert len(row) == 5


def test_nothing_is_written_into_the_image_folder(place: Place) -> None:
    names = {os.path.basename(each) for each in os.listdir(os.fsencode(place.photos / "training/unlabeled"))}
    specimens = {kind.name.encode() for kind in outcomes.specimens()}
    odd = {b".ipynb_checkpoints", b".DS_Store", b"._a.jpg", b".jpg", b"Thumbs.db", b"notes.txt", b"README", b"x.jpg"}
    odd.add(b"first_version.tga")
    assert names - specimens - set(outcomes.NAMES) - odd == {
        b"fifo.jpg",
        b"socket.jpg",
        b"broken.jpg",
        b"self.jpg",
        b"loop",
    }
