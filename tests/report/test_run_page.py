"""report.html of one run: counts against a reference implementation, broken folders, and a real browser."""

import argparse
import csv
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from semisup.analysis.pseudo_label_history import LabelHistory, read_label_history
from semisup.analysis.runs import read_run
from semisup.cli.show import show_command
from semisup.config.settings_objects import build_option
from semisup.report.html.run_page import SHOWN, run_page
from tests import preloaded
from tests.report.run_maker import make_with_references, plain_of
from tests.report.test_browser import CONTRAST

EVIL = "<img src=x onerror=alert(1)>"
COLUMNS = ("round", "epoch", "step", "path", "class", "confidence", "weight", "kept")


def write_labels(folder: Path, rows: list[tuple[object, ...]]) -> None:
    with open(folder / "pseudo_labels.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


def counts(found: LabelHistory) -> list[tuple[int, ...]]:
    return [(each.number, each.labeled, each.selected, each.gained, each.lost, each.flipped) for each in found.rounds]


def test_gained_lost_and_flipped(tmp_path: Path) -> None:
    write_labels(
        tmp_path,
        [
            *((1, 0, 5, "a", "3", 0.9, 1, 1), (1, 0, 5, "b", "3", 0.2, 0, 0), (1, 0, 5, "c", "7", 0.8, 1, 1)),
            *((2, 1, 9, "a", "8", 0.7, 1, 1), (2, 1, 9, "b", "3", 0.6, 1, 1), (2, 1, 9, "c", "7", 0.1, 0, 0)),
            *((3, 2, 12, "a", "3", 0.95, 1, 1), (3, 2, 12, "b", "4", 0.1, 0, 0)),
        ],
    )
    found = read_label_history(tmp_path, 1)
    assert counts(found) == [(1, 3, 2, 2, 0, 0), (2, 3, 2, 1, 1, 1), (3, 2, 1, 0, 1, 1)]
    assert [dict(each.selected_by_class) for each in found.rounds] == [{"3": 1, "7": 1}, {"8": 1, "3": 1}, {"3": 1}]
    assert found.changed == 2
    (flipped,) = found.flipped
    assert (flipped.path, flipped.classes, flipped.confidence, flipped.selected) == ("a", ("3", "8", "3"), 0.95, True)
    assert [each.path for each in found.most_confident] == ["a"]
    assert found.least_confident == [], "no image is both"


def test_counts_equal_a_reference_implementation(tmp_path: Path) -> None:
    chance = random.Random(0)
    rows = [
        (number, number, number, f"{image}.png", chance.randrange(3), round(chance.random(), 3), 1, chance.randrange(2))
        for number in (1, 2, 3, 4)
        for image in range(60)
        if chance.random() > 0.2
    ]
    write_labels(tmp_path, rows)
    table = pandas.read_csv(tmp_path / "pseudo_labels.csv")
    wanted, before, last, changed = [], {}, {}, set()
    for number, part in table.groupby("round"):
        labels = dict(zip(part["path"], part["class"], strict=True))
        kept = {row.path: labels[row.path] for row in part.itertuples() if row.kept}
        flipped = sum(path in before and last[path] != label for path, label in kept.items())
        lost = len(before.keys() - kept.keys())
        wanted.append((number, len(part), len(kept), len(kept.keys() - before.keys()), lost, flipped))
        changed |= {path for path, label in labels.items() if path in last and last[path] != label}
        before, last = kept, last | labels
    found = read_label_history(tmp_path, 5)
    assert counts(found) == wanted
    assert found.changed == len(changed)
    sure = [each.confidence for each in found.most_confident]
    assert sure == sorted(sure, reverse=True)
    assert max(each.confidence for each in found.least_confident) <= min(sure)


@pytest.mark.parametrize(
    ("text", "rounds"),
    [("", 0), ("round,path\n1,a\n", 0), ("\x00", 0), (",".join(COLUMNS) + "\n1,0,5,a,3,0.9,1,1\n1,0,5,b,3,0.", 1)],
)
def test_broken_label_file_counts_as_not_written(tmp_path: Path, text: str, rounds: int) -> None:
    (tmp_path / "pseudo_labels.csv").write_text(text)
    assert len(read_label_history(tmp_path, 3).rounds) == rounds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the digits with three labelings, one of whose classes and paths is not to be trusted."""
    experiment = tmp_path_factory.mktemp("outputs") / "mine"
    plain = plain_of("threshold.tau=0.7", "augment.strength=0.25", seed=3)
    made = make_with_references(
        experiment, plain, val=0.9, test=0.85, control=0.8, baseline=0.7,
        labelings=[(0.2, 1.0), (0.5, 0.9), (0.6, 0.95)],
    )  # fmt: skip
    dataset = build_option("dataset", plain["dataset"])
    paths = dataset.read(dataset.inspect(), lambda items, *_: items).unlabeled.paths[:60]
    rows = [
        (at, at, 10 * at, path, EVIL if place % 7 == 0 else (place + at * (place % 5 == 0)) % 3, 1 - place / 100, 1,
         int(place < 20 * at))
        for at in (1, 2, 3)
        for place, path in enumerate([*paths, EVIL])
    ]  # fmt: skip
    write_labels(made, rows)
    (made / "classes.csv").write_text(
        "round,epoch,step,class,labeled,kept,coverage,accuracy,threshold\n"
        + "".join(f"{at},1,1,{name},50,{10 * at},{at / 5},0.9,0.7\n" for at in (1, 2, 3) for name in (0, EVIL))
    )
    about = json.loads((made / "run.json").read_text()) | {"dataset": {"classes": ["0", EVIL]}, "command": EVIL}
    (made / "run.json").write_text(json.dumps(about))
    return made


def test_show_writes_only_the_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    command = [sys.executable, "-m", "semisup", "show", str(folder)]
    done = preloaded.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert f"report: {folder / 'report.html'}" in done.stdout
    page = (folder / "report.html").read_bytes()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path not in before} == {
        folder / "report.html": page
    }
    assert {path: path.read_bytes() for path in before} == before
    assert run_page(read_run(folder)) == page, "the same bytes for the same folder"
    text = page.decode()
    assert "a gain of +5.0 points" in text
    assert "semisup reproduce" in text
    assert "http://" not in text.replace("http://www.w3.org/", "")
    (folder / "report.html").unlink()
    (folder / "report.html").mkdir()  # as good as read-only, also for root
    assert show_command(argparse.Namespace(run=folder)) == 0
    said = capsys.readouterr().out
    assert "validation accuracy" in said
    assert "no report: " in said
    assert "cannot be written" in said
    (folder / "report.html").rmdir()


@pytest.mark.parametrize(
    "missing", ["metrics.jsonl", "pseudo_labels.csv", "classes.csv", "summary.json", "config.yaml"]
)
def test_page_shows_the_readable_part(folder: Path, tmp_path: Path, missing: str) -> None:
    for path in folder.iterdir():
        if path.is_file() and path.name != missing:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    page = run_page(read_run(tmp_path)).decode()
    assert "</html>" in page
    assert EVIL not in page
    assert ("not done: unreadable" in page) == (missing in ("summary.json", "config.yaml", "metrics.jsonl"))


def test_missing_images_are_reported_by_name(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("name: digits", "name: of_another_version"))
    page = run_page(read_run(tmp_path)).decode()
    assert "No thumbnails: the data set cannot be read here" in page
    assert 'src="data:' not in page


@pytest.fixture(scope="module")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(run_page(read_run(folder)))
    return path.as_uri()


@pytest.fixture
def page(driver: webdriver.Chrome, address: str) -> Iterator[webdriver.Chrome]:
    """Freshly opened; the browser had nothing to complain of."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(address)
    yield driver
    assert driver.get_log("browser") == []


def test_page_shows_charts_rounds_and_images(page: webdriver.Chrome, folder: Path) -> None:
    assert page.find_element(By.TAG_NAME, "h1").text == folder.name
    charts = page.find_elements(By.CSS_SELECTOR, "figure svg")
    assert len(charts) == 2, "nothing is known of other thresholds"
    assert all(chart.size["width"] > 500 and chart.size["height"] > 200 for chart in charts)
    pictures = page.find_elements(By.CSS_SELECTOR, "#pictures img")
    assert len(pictures) + 1 == len(page.find_elements(By.CSS_SELECTOR, "#pictures li")), "one is in no data set"
    assert len(pictures) > 2 * SHOWN
    assert all(page.execute_script("return arguments[0].naturalWidth", picture) == 8 for picture in pictures)
    wide = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    lines = page.find_elements(By.CSS_SELECTOR, "#by_round tbody tr")
    found = [[int(cell.text) for cell in line.find_elements(By.TAG_NAME, "td")[:8]] for line in lines]
    assert [line[4:7] for line in found] == [[20, 20, 0], [40, 20, 0], [60, 20, 0]]
    assert all(line[7] > 0 for line in found[1:])
    page.find_element(By.ID, "by_round-filter").send_keys("kept>20")
    assert page.find_element(By.CSS_SELECTOR, "form[data-for='by_round'] output").text == "2 of 3"
    assert page.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    assert "→" in page.find_element(By.CSS_SELECTOR, "#flipped + ul li").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_have_enough_contrast(page: webdriver.Chrome, scheme: str) -> None:
    scheme_ = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme_})
    words = "h1, h3, .sentence, .note, dt, dd, .faint, figcaption, nav a, th, caption, .mistakes small, figure svg text"
    each_kind = [element for word in words.split(", ") for element in page.find_elements(By.CSS_SELECTOR, word)[:3]]
    for element in each_kind:
        contrast = page.execute_script(CONTRAST, element, *(["fill"] if element.tag_name == "text" else []))
        assert contrast > 4.4, (element.tag_name, element.text, contrast)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": scheme_})
    color = page.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    assert color == "rgb(255, 255, 255)"
    assert len(page.print_page()) > 10_000
