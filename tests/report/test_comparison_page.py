"""report.html of a comparison: its content, its safety against foreign text, and its size."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy
import pytest
import yaml
from PIL import Image

import semisup.dataset
from semisup.analysis.comparison import Comparison, compare_runs
from semisup.analysis.run_history import history, last_threshold_curve, read_threshold_curves
from semisup.analysis.runs import find_runs, read_run, read_runs
from semisup.config.settings_objects import build_option
from semisup.dataset import some_images
from semisup.errors import DataError
from semisup.report.figures.comparison_curves import MAX_CURVES
from semisup.report.html.comparison_page import comparison_page
from semisup.report.html.confusion import MAX_CLASSES
from semisup.report.html.run_page import run_page
from semisup.report.html.thumbnails import MAX_ERRORS, SIDE_PIXELS, most_confident_errors
from semisup.text import printable, relative_url, shell_quote
from tests.conftest import CONF
from tests.report.run_maker import make, make_with_references, plain_of

EVIL = "<script>alert(1)</script>\" onload='alert(2)' \u202egnp.exe \n {{ 7*7919 }} </style> --> $x$"


def compared(folder: Path) -> Comparison:
    return compare_runs(read_runs(find_runs([folder])))


def page(folder: Path) -> str:
    return comparison_page([(compared(folder), "The sentence.")], folder).decode()


class Seen(HTMLParser):
    """The elements of a page; what stands in <td> by row; every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def values(self, tag: str, name: str) -> list[str]:
        return [value for each, attribute, value in self.attributes if (each, attribute) == (tag, name)]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture(scope="module")
def made_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "mine"
    for tau in (0.8, 0.95):
        for strength in (0.25, 0.5):
            for seed in (0, 1):
                plain = plain_of(f"threshold.tau={tau}", f"augment.strength={strength}", seed=seed)
                make_with_references(
                    folder, plain, val=tau - strength / 10, test=tau - 0.1, control=0.6, baseline=0.5,
                    labelings=[(0.1, 0.99), (tau / 2, 0.9)],
                )  # fmt: skip
    make(folder, plain_of("threshold.tau=0.7"), status="failed", error={"kind": "E", "message": "out of memory"})
    return folder


@pytest.fixture
def sweep(outputs: Path, made_sweep: Path) -> Path:
    """A copy of the sweep."""
    return shutil.copytree(made_sweep, outputs / "mine")


def best(folder: Path) -> Path:
    row = compared(folder).best
    assert row is not None
    return row.best_run.folder


# What is in it --------------------------------------------------------------------------------------------------------


def test_page_has_every_section(sweep: Path) -> None:
    text = page(sweep)
    for part in ("heat-map", "settings-section", "curves", "rounds", "best", "mistakes", "runs-section"):
        assert f'id="{part}"' in text, part
    assert text.count("<svg ") == 2
    assert text.index("The sentence.") < text.index('id="heat-map"')
    assert "out of memory" in text  # a failure is a row
    assert "2 failed" not in text
    assert "1 failed" in text


def test_reports_have_a_glossary_with_the_terms_of_the_documentation(sweep: Path) -> None:
    concepts = (CONF.parent / "docs" / "concepts.md").read_text()
    for text in (page(sweep), run_page(read_run(best(sweep))).decode()):
        assert '<a href="#glossary">Glossary</a>' in text
        terms = re.findall("<dt>(.*?)</dt>", text.partition('id="glossary"')[2])
        assert {"pseudo-label", "control", "gain", "coverage"} <= set(terms)
        assert [term for term in terms if f"\n| {term} | " not in concepts.replace("`", "")] == []


def test_every_cell_links_to_its_run(sweep: Path) -> None:
    text = page(sweep)
    heat = text[text.index('id="heat-map"') : text.index('id="settings-section"')]
    cells = re.findall(r'<td class="([^"]*)"[^>]*>(?:<a href="([^"]*)")?', heat)
    assert len(cells) == 3 * 2 * 2 + 2  # of two panels, and the controls
    leads = [unquote(html.unescape(href)) for _, href in cells if href]
    assert all((sweep / href / "config.yaml").is_file() for href in leads)
    assert len(set(leads)) == 4 + 2 + 1  # best seeds, controls, the failed one
    assert {kind for kind, href in cells if not href} == {"none"}


def test_links_prefer_the_report_of_a_run(sweep: Path) -> None:
    best = compared(sweep).best
    assert best is not None
    own = best.best_run.folder / "report.html"
    assert f'href="./{own.parent.name}/"' in page(sweep)
    own.write_bytes(b"")
    assert page(sweep).count(f'href="./{own.parent.name}/report.html"') >= 3, "cells, table and the best run"


def test_links_are_relative_to_the_page(outputs: Path, sweep: Path) -> None:
    text = comparison_page([(compared(sweep), "")], outputs).decode()
    hrefs = [href for href in Seen(text).values("a", "href") if href.startswith("./")]
    assert hrefs
    assert all((outputs / unquote(href)).is_dir() for href in hrefs)


def test_equal_runs_give_equal_bytes(sweep: Path) -> None:
    assert page(sweep) == page(sweep)


def test_without_a_grid_the_rows_are_drawn(outputs: Path) -> None:
    for tau in (0.7, 0.8, 0.9):
        make(outputs / "mine", plain_of(f"threshold.tau={tau}"))
    text = page(outputs / "mine")
    assert 'id="heat-map"' not in text
    assert 'id="rows"' in text


def test_unfinished_runs_have_a_table(outputs: Path) -> None:
    make(outputs / "mine", plain_of(), status="failed", error={"kind": "E", "message": "no"})
    text = page(outputs / "mine")
    assert 'id="best"' not in text
    assert "E: no" in text


def test_command_of_each_run_works_in_a_shell(outputs: Path) -> None:
    names = (
        "mine",
        "it's",
        "two words",
        "new\nline",
        "$HOME `id`",
        "\u202eturned",
        "é",
        "back\\now\n",
        "it's\nso",
        "-m",
    )
    for name in names:
        make(outputs / name, plain_of(f"threshold.tau={0.5 + len(name) / 100}"))
    commands = [html.unescape(each) for each in re.findall(r'<code class="command">([^<]*)<', page(outputs))]
    assert len(set(commands)) == len(names)
    for command in set(commands):
        assert command.isprintable()
        words = command.replace("semisup reproduce", r"printf '%s\0'")
        done = subprocess.run(["bash", "-c", words], capture_output=True, check=True)
        (path,) = done.stdout.decode().split("\0")[:-1]
        assert (Path(path) / "config.yaml").is_file()


# The best run ---------------------------------------------------------------------------------------------------------


def predictions(folder: Path, rows: list[tuple[str, str, str, float]]) -> None:
    lines = [f"validation,{path},{target},{said},{sure}\n" for path, target, said, sure in rows]
    (folder / "predictions.csv").write_text("split,path,class,predicted,confidence\n" + "".join(lines))


def about(folder: Path, **dataset: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dataset": dataset}))


def digits_of(folder: Path) -> Any:
    dataset = build_option("dataset", read_run(folder).config["dataset"])
    return dataset.read(dataset.inspect(), lambda items, *_: items)


def test_most_confident_errors_come_first_with_thumbnails(sweep: Path) -> None:
    folder = best(sweep)
    data = digits_of(folder)
    about(folder, classes=["zero", "one"], fingerprint=data.fingerprint)
    names = data.validation.paths[:40]
    rows = [(name, "zero", "one" if number % 2 else "zero", 0.5 + number / 100) for number, name in enumerate(names)]
    predictions(folder, rows)
    found = most_confident_errors(read_run(folder))
    assert (found.count, found.judged, found.message) == (20, 40, "")
    assert [guess.path for guess, _ in found.shown] == names[39::-2][:MAX_ERRORS]
    assert all((uri or "").startswith("data:image/png;base64,") for _, uri in found.shown)
    text = page(sweep)
    images = Seen(text).values("img", "alt")
    assert images == ["zero, predicted as one"] * 20
    assert "20 of 40 images are incorrect" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("no_file", "no predictions.csv"),
        ("all_right", "None: all 1 are correct"),
        ("other_data", "the data set differs from that of the run"),
        ("no_data", "the data set cannot be read here"),
        ("other_names", "1 of these images are no longer in the data set"),
        ("empty", "predictions.csv has no validation image"),
    ],
)
def test_missing_errors_are_explained(sweep: Path, change: str, said: str) -> None:
    folder = best(sweep)
    data = digits_of(folder)
    name = data.validation.paths[0]
    about(folder, classes=["a", "b"], fingerprint="another" if change == "other_data" else data.fingerprint)
    if change == "empty":
        predictions(folder, [])
    elif change != "no_file":
        path = "gone" if change == "other_names" else name
        predictions(folder, [(path, "a", "a" if change == "all_right" else "b", 0.9)])
    if change == "no_data":
        for each in sweep.glob("self*/config.yaml"):
            each.write_text(
                each.read_text().replace("name: digits", "name: cifar10").replace("  size: 8", "  root: /no")
            )
    text = page(sweep)
    assert said in html.unescape(text)
    assert "<img" not in text


def test_config_with_an_interpolation_reads_no_data_set(sweep: Path) -> None:
    folder = best(sweep)
    for each in sweep.glob("self*/config.yaml"):
        each.write_text(each.read_text().replace("name: digits", "name: ${oc.env:HOME}"))
    predictions(folder, [("digits/0000", "a", "b", 0.9)])
    found = most_confident_errors(read_run(folder))
    assert (
        "No thumbnails: the data set cannot be read here (config.yaml: name=${oc.env:HOME}: must be one of"
        in found.message
    )


def test_only_the_shown_files_are_opened(tmp_path: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, split in enumerate(("training/labeled", "validation")):
        for name in ("a", "b"):
            (tmp_path / "photos" / split / name).mkdir(parents=True)
            for place in range(3):
                noise = numpy.random.default_rng([number, place]).integers(0, 256, (200, 200, 3), dtype=numpy.uint8)
                Image.fromarray(noise).save(tmp_path / "photos" / split / name / f"{place}.png")
    plain = plain_of()
    node = yaml.safe_load((CONF / "dataset" / "folder.yaml").read_text())
    node |= {
        "root": str(tmp_path / "photos"),
        "unlabeled": None,
        "test": None,
        "split_seed": 0,
        "size": 200,
        "cache": None,
    }
    plain["dataset"] = node
    folder = make(outputs / "mine", plain)
    part = build_option("dataset", node).inspect().index.parts["validation"].files[:3]
    opened: list[str] = []
    real = semisup.dataset._image_files.read
    monkeypatch.setattr(
        "semisup.dataset._image_files.read",
        lambda files, *more: opened.extend(each.name for each in files) or real(files, *more),
    )
    predictions(folder, [(file.name, "a", "b", 0.9) for file in part])
    found = most_confident_errors(read_run(folder))
    assert opened == [file.name for file in part]
    assert found.message == ""
    assert all((uri or "").startswith("data:image/jpeg;base64,") for _, uri in found.shown)
    assert max(len(uri or "") for _, uri in found.shown) < 4 * SIDE_PIXELS**2


def test_large_data_set_is_not_read_for_a_few_thumbnails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semisup.dataset._lookup.MAX_BYTES", 1000)
    dataset = build_option("dataset", plain_of()["dataset"])
    with pytest.raises(DataError, match="too many to be read at once, and this data set can only be read as a whole"):
        some_images(dataset, "validation", ["digits/0001"], None)


def test_confusion_as_a_table_or_as_pairs(sweep: Path) -> None:
    folder = best(sweep)
    about(folder, classes=["cat", "dog"])
    text = page(sweep)
    assert text.count('<table class="confusion">') == 2
    many = MAX_CLASSES + 1
    counts = [[int(true == said) * 5 for said in range(many)] for true in range(many)]
    counts[3][7] = 4
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"confusion": {"validation": counts}}))
    about(folder, classes=[f"kind {number}" for number in range(many)])
    text = page(sweep)
    assert '<table class="confusion">' not in text
    assert '<td><bdi>kind 3</bdi></td><td><bdi>kind 7</bdi></td><td class="n">4</td>' in text


@pytest.mark.parametrize("counts", [None, [], [[1]], [[1, 2], [3]], "x", [[1, None], [2, 3]], {"a": 1}])
def test_confusion_counts_of_any_shape(sweep: Path, counts: Any) -> None:
    folder = best(sweep)
    about(folder, classes=["cat", "dog"])
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"confusion": {"validation": counts}}))
    assert ('<table class="confusion">' in page(sweep)) == (counts == [[1, None], [2, 3]])


def test_threshold_curves_are_read(sweep: Path) -> None:
    folder = best(sweep)
    lines = ["step,epoch,on,tau,coverage,accuracy"]
    for step in (10, 20):
        for on in ("pool", "validation"):
            lines += [f"{step},1,{on},{tau},{1 - tau * step / 100},{'' if tau == 0.9 else tau}" for tau in (0.5, 0.9)]
    (folder / "what_if.csv").write_text("\n".join([*lines, "x,y,pool", "20,1,pool,nan,0.5,0.5", "30,1,moon,0.5,1,1"]))
    found = {curve.split: curve for curve in read_threshold_curves(folder)}
    assert found["pool"].coverage == [(0.5, 0.9), (0.9, pytest.approx(0.82))]
    assert found["validation"].accuracy == [(0.5, 0.5)]
    assert {split: last_threshold_curve(folder, split) for split in ("pool", "validation")} == found
    assert last_threshold_curve(folder, "moon") is None
    assert 'id="what-if"' in page(sweep)


# Curves ---------------------------------------------------------------------------------------------------------------


def test_histories_of_any_content(tmp_path: Path) -> None:
    rows = [{"step": 1, "val/accuracy": 0.5}, {"step": 10**13, "val/accuracy": 0.5}, {"step": 2, "val/accuracy": 7}]
    rows += [
        {"step": "x", "val/accuracy": 0.5},
        {"pseudo/coverage": 0.5, "pseudo/accuracy": None},
        {"val/accuracy": {}},
    ]
    text = (
        "".join(json.dumps(row) + "\n" for row in rows)
        + '[1, "val/accuracy"]\n{"step": 3, "val/accuracy": 1.0}\n{"val/accuracy"'
    )
    (tmp_path / "metrics.jsonl").write_text(text)
    found = history(tmp_path)
    assert found.accuracy == [(1, 0.5), (3, 1.0)]
    assert found.rounds == [(0.5, None)]
    assert history(tmp_path / "none").accuracy == []


def test_only_the_best_curves_are_drawn(outputs: Path) -> None:
    count = MAX_CURVES + 5
    for number in range(count):
        make(outputs / "mine", plain_of(f"optimizer.lr={1 + number}e-5"), val=0.5 + number / 100)
    text = page(outputs / "mine")
    assert f"the best {MAX_CURVES} of {count} settings on validation" in text
    curves = text[text.index('<section id="curves"') :]
    assert curves[: curves.index("</section>")].count("<a tabindex") == MAX_CURVES


def test_unknown_true_classes_are_reported(outputs: Path) -> None:
    make(outputs / "mine", plain_of(), labelings=[(0.5, None)])
    assert "No pseudo-accuracy: the true classes of the unlabeled images are unknown" in page(outputs / "mine")


# Nothing foreign acts in it -------------------------------------------------------------------------------------------


@pytest.fixture
def hostile(outputs: Path) -> Path:
    """Runs that say all the wrong things of themselves, in every place that a page shows."""
    folder = outputs / "javascript:alert(1)<b>"
    for number in range(2):
        plain = plain_of("threshold.tau=0.9", seed=number)
        plain["device"] = f"{EVIL}{number}"
        path = make(folder, plain, labelings=[(0.5, 0.9)])
        about(path, classes=[EVIL, "b"])
        predictions(path, [("a<img src=x onerror=alert(3)>", "<b>x</b>", "<i>y</i>", 0.9)])
    strange = make(folder, plain_of(), status="failed", error={"kind": EVIL, "message": EVIL})
    strange.rename(strange.with_name("<script>alert(4)<\u202e&quot;script>"))
    return folder


def test_text_of_runs_is_escaped_in_the_page(hostile: Path) -> None:
    text = page(hostile)
    seen = Seen(text)
    assert seen.tags.count("script") == 1
    assert seen.tags.count("style") == 2  # that of a browser without scripts
    assert not {"b", "i", "iframe", "object", "base"} & set(seen.tags)
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    assert "\u202e" not in text
    assert "55433" not in text  # the template language sees none of it
    for value in seen.values("a", "href") + seen.values("a", "xlink:href"):
        assert value.startswith(("./", "#")), value
        assert ":" not in value
    assert "&lt;script&gt;alert(1)" in text
    assert r"\u202e" in text


def test_policy_allows_only_the_page_itself(sweep: Path) -> None:
    text = page(sweep)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["img-src"] == "data:"
    outside = re.findall(r"[a-z]+://[^\s\"'<]*", text)
    assert set(outside) <= {"http://www.w3.org/1999/xlink"}
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#", "", text)


def test_figures_images_and_tables_are_described(sweep: Path) -> None:
    text = page(sweep)
    for drawing in re.findall(r"<svg [^>]*>", text):
        assert 'role="img"' in drawing
        assert len(re.findall(r'aria-label="([^"]+)"', drawing)[0]) > 20
    assert text.count("<table") == text.count("<caption>")
    for heads in re.findall(r"<th\b[^>]*>", text):
        assert "scope=" in heads
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    assert '<html lang="en">' in text


def test_printable_escapes_control_and_direction_marks() -> None:
    assert printable("größe 中文 \u202e\x1b[2J\udc80\n") == "größe 中文 \\u202e\\x1b[2J\\udc80\\n"
    assert printable(True) == "true"
    assert printable(None) == "null"
    assert len(printable("x" * 1000, 50)) == 50


def test_link_never_has_a_scheme(tmp_path: Path) -> None:
    assert relative_url(tmp_path / "javascript:alert(1)", tmp_path) == "./javascript%3Aalert%281%29/"
    assert relative_url(tmp_path / "a", tmp_path / "b") == "./../a/"
    assert shell_quote(Path("a b")) == "'a b'"
