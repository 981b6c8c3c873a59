"""report.html in a real browser: drawn, sortable, filterable, legible in light and dark, and without console errors.

Needs Debian's chromium and chromium-driver; skipped without them.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from semisup.analysis.comparison import compare_runs
from semisup.analysis.runs import find_runs, read_runs
from semisup.config import schema
from semisup.config.settings_objects import build_option
from semisup.report.figures.style import COLORS
from semisup.report.html.comparison_page import comparison_page
from tests.report.run_maker import make, make_with_references, plain_of

Driver = webdriver.Chrome
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def validation_of(plain: schema.ConfigDict) -> list[str]:
    dataset = build_option("dataset", plain["dataset"])
    paths: list[str] = dataset.read(dataset.inspect(), lambda items, *_: items).validation.paths
    return paths


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thresholds x two strengths x two seeds, their controls, a failure, and mistakes to show."""
    folder = tmp_path_factory.mktemp("outputs") / "mine"
    for tau in (0.8, 0.95):
        for strength in (0.25, 0.5):
            for seed in (0, 1):
                plain = plain_of(f"threshold.tau={tau}", f"augment.strength={strength}", seed=seed)
                val = tau - strength / 10 + seed / 100
                run = make_with_references(
                    folder,
                    plain,
                    val=val,
                    test=tau - 0.1,
                    control=0.6,
                    baseline=0.5,
                    labelings=[(0.1, 0.99), (tau, 0.9)],
                )
                guesses = ["split,path,class,predicted,confidence"]
                guesses += [f"validation,{name},0,1,0.9" for name in validation_of(plain)]
                (run / "predictions.csv").write_text("\n".join(guesses))
                about = json.loads((run / "run.json").read_text())
                (run / "run.json").write_text(json.dumps(about | {"dataset": {"classes": ["0", "1"]}}))
                lines = [
                    f"9,1,{on},{at / 100},{1 - at / 200},{at / 100}"
                    for on in ("pool", "validation")
                    for at in range(100)
                ]
                (run / "what_if.csv").write_text("\n".join(["step,epoch,on,tau,coverage,accuracy", *lines]))
    make(folder, plain_of("threshold.tau=0.7"), status="failed", error={"kind": "E", "message": EVIL})
    (folder / "report.html").write_bytes(
        comparison_page([(compare_runs(read_runs(find_runs([folder]))), f"Best. {EVIL}")], folder)
    )
    return folder


@pytest.fixture
def page(driver: Driver, folder: Path) -> Iterator[Driver]:
    """The page, freshly opened; whatever the test did with it, the browser had nothing to complain of."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get((folder / "report.html").as_uri())
    yield driver
    assert driver.get_log("browser") == []


def column(page: Driver, table: str, key: str) -> list[str]:
    """The visible cells of a column, from the top."""
    script = """
        const table = document.getElementById(arguments[0]);
        const number = [...table.tHead.rows[0].cells].findIndex((head) => head.dataset.key === arguments[1]);
        const shown = [...table.tBodies[0].rows].filter((row) => row.offsetParent !== null);
        return shown.map((row) => row.cells[number].innerText);
    """
    found: list[str] = page.execute_script(script, table, key)
    return found


def numbers(page: Driver, table: str, key: str) -> list[float]:
    return [float(text.split()[0]) for text in column(page, table, key) if text]


def head(page: Driver, table: str, key: str) -> Any:
    return page.find_element(By.CSS_SELECTOR, f"#{table} th[data-key='{key}']")


def test_page_is_drawn(page: Driver) -> None:
    assert page.find_element(By.TAG_NAME, "h1").text == "mine"
    for chart in page.find_elements(By.CSS_SELECTOR, "figure svg"):
        assert chart.size["width"] > 500
        assert chart.size["height"] > 200
    assert len(page.find_elements(By.CSS_SELECTOR, "figure svg")) == 3
    pictures = page.find_elements(By.CSS_SELECTOR, ".mistakes img")
    assert len(pictures) == 24
    assert all(page.execute_script("return arguments[0].naturalWidth", picture) == 8 for picture in pictures)
    wide = page.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], "nothing sticks out of a laptop's screen"


def test_every_cell_of_the_heat_map_opens_its_run(page: Driver, folder: Path) -> None:
    links = page.find_elements(By.CSS_SELECTOR, ".heat td a")
    addresses = {link.get_attribute("href") for link in links}
    assert len(addresses) == 4 + 2 + 1
    assert all(address.startswith(folder.as_uri() + "/") for address in addresses)
    links[-1].click()
    assert "config.yaml" in page.page_source
    page.get_log("browser")  # of chromium's own list of files


def test_columns_sort(page: Driver) -> None:
    values = numbers(page, "runs", "val")
    assert len(set(values)) > 5
    assert values == sorted(values, reverse=True)
    button = head(page, "runs", "val").find_element(By.TAG_NAME, "button")
    for down in (False, True):
        assert head(page, "runs", "val").get_attribute("aria-sort") == ("ascending" if down else "descending")
        button.click()
        assert numbers(page, "runs", "val") == sorted(values, reverse=down)
        assert column(page, "runs", "status")[-1] == "failed"  # what has no number comes last, either way
    head(page, "runs", "status").find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert column(page, "runs", "status")[-1] == "failed"
    assert head(page, "runs", "val").get_attribute("aria-sort") is None
    assert head(page, "runs", "status").get_attribute("aria-sort") == "ascending"
    assert numbers(page, "settings", "val") == sorted(numbers(page, "settings", "val"), reverse=True)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("", 15), ("control", 4), ("status=failed", 1), ("status!=done", 1), ("tau=0.8", 4), ("tau>=0.8 seed=1", 4),
        ("threshold.tau<0.8", 1), ("val>90", 3), ("ROLE=Run strength=0.25", 4), ("nothing=7", 0), ("onerror", 1),
        ("tau>", 0),
    ],
)  # fmt: skip
def test_filter_selects_rows(page: Driver, words: str, count: int) -> None:
    page.find_element(By.ID, "runs-filter").send_keys(words)
    assert len(column(page, "runs", "run")) == count
    assert page.find_element(By.CSS_SELECTOR, "form[data-for='runs'] output").text == f"{count} of 15"
    assert len(column(page, "settings", "best")) == 4


def test_many_rows_show_the_first_and_all_on_request(driver: Driver, tmp_path: Path) -> None:
    for number in range(230):
        plain = plain_of(f"threshold.tau={number / 1000}")
        make(tmp_path, plain, val=number / 230)
    (tmp_path / "report.html").write_bytes(
        comparison_page([(compare_runs(read_runs(find_runs([tmp_path]))), "Best.")], tmp_path)
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    driver.get((tmp_path / "report.html").as_uri())
    said = driver.find_element(By.CSS_SELECTOR, "form[data-for='runs'] output")
    assert (len(column(driver, "runs", "run")), said.text) == (200, "230 of 230, the first 200 shown")
    head(driver, "runs", "val").find_element(By.TAG_NAME, "button").click()
    assert numbers(driver, "runs", "val")[0] == 0, "sorted among all"
    driver.find_element(By.ID, "runs-filter").send_keys("tau<0.1")
    assert (len(column(driver, "runs", "run")), said.text) == (100, "100 of 230")
    driver.find_element(By.ID, "runs-filter").clear()
    driver.find_element(By.ID, "runs-filter").send_keys(" ")
    driver.find_element(By.CSS_SELECTOR, "form[data-for='runs'] button").click()
    assert (len(column(driver, "runs", "run")), said.text) == (230, "230 of 230")
    driver.refresh()
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    rows = driver.execute_script("return [...document.querySelectorAll('#runs tbody tr')].filter(r => r.offsetParent)")
    assert len(rows) == 230, "paper has all"


def test_sort_and_filter_are_kept_in_the_address(page: Driver, driver: Driver) -> None:
    page.find_element(By.ID, "runs-filter").send_keys("tau=0.8")
    head(page, "runs", "val").find_element(By.TAG_NAME, "button").click()
    before, address = column(page, "runs", "run"), page.current_url
    page.get("about:blank")
    page.get(address)
    assert column(page, "runs", "run") == before
    assert head(page, "runs", "val").get_attribute("aria-sort") == "ascending"
    page.execute_script("location.hash = '#best'")
    assert column(page, "runs", "run") == before, "a jump within the page changes no view"


def test_copy_button_copies_the_command(page: Driver, folder: Path) -> None:
    code = page.find_element(By.CSS_SELECTOR, "#best code.command")
    button = page.find_element(By.CSS_SELECTOR, "#best button.copy")
    page.execute_script("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    button.click()
    assert page.execute_script("return window.copied") == code.text
    assert code.text.startswith(f"semisup reproduce {folder}")
    assert button.text == "copied"
    page.execute_script("navigator.clipboard.writeText = () => Promise.reject(new Error())")
    button.click()
    assert page.execute_script("return getSelection().toString()") == code.text


CONTRAST = """
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (color) => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (color) => {
        const [r, g, b] = rgb(color).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const style = getComputedStyle(arguments[0]), page = getComputedStyle(document.documentElement).backgroundColor;
    const own = style.backgroundColor;
    const back = light(own === "rgba(0, 0, 0, 0)" || arguments[1] ? page : own);
    const front = light(arguments[1] ? style[arguments[1]] : style.color);
    return (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_have_enough_contrast(page: Driver, scheme: str) -> None:
    scheme_ = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme_})
    back = page.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    words = "h1, .sentence, .note, figcaption, nav a, th, .sortable td a, .heat tbody td, .wrong, .copy, caption"
    for element in page.find_elements(By.CSS_SELECTOR, words):
        contrast = page.execute_script(CONTRAST, element)
        assert contrast > 4.4, (element.tag_name, element.text, contrast)
    for text in page.find_elements(By.CSS_SELECTOR, "figure svg text"):
        assert page.execute_script(CONTRAST, text, "fill") > 4.4, text.text
    line = page.find_element(By.CSS_SELECTOR, "figure svg a path")
    for color in range(len(COLORS)):
        page.execute_script("arguments[0].style.stroke = arguments[1]", line, f"var(--color{color})")
        assert page.execute_script(CONTRAST, line, "stroke") > 3, "lines need 3 : 1"


def test_printed_page_is_light_and_complete(page: Driver) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    assert (
        page.execute_script("return getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
    )
    for hidden in page.find_elements(By.CSS_SELECTOR, "nav, form.filter, button.copy"):
        assert not hidden.is_displayed()
    for table in page.find_elements(By.CSS_SELECTOR, ".scroll"):
        style = page.execute_script("const s = getComputedStyle(arguments[0]); return [s.maxHeight, s.overflow]", table)
        assert style == ["none", "visible"], "paper does not scroll"
    assert len(page.print_page()) > 10_000


def test_page_works_by_keyboard(page: Driver) -> None:
    body = page.find_element(By.TAG_NAME, "body")
    for _ in range(40):
        body.send_keys(Keys.TAB)
        focused = page.switch_to.active_element
        if focused.tag_name == "input":
            break
    focused.send_keys("tau=0.8")
    assert len(column(page, "settings", "best")) == 2
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


def test_text_of_a_run_is_inert(page: Driver) -> None:
    assert page.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    assert EVIL in page.find_element(By.CSS_SELECTOR, ".sentence").text


def test_policy_blocks_a_foreign_script(driver: Driver, folder: Path, tmp_path: Path) -> None:
    """The second wall: even if an element slipped through, the page's own policy keeps it still."""
    text = (folder / "report.html").read_text()
    (tmp_path / "broken.html").write_text(text.replace("</main>", "<img src='x' onerror='window.hit=1'></main>"))
    driver.get((tmp_path / "broken.html").as_uri())
    assert driver.execute_script("return window.hit") is None
    said = " ".join(entry["message"] for entry in driver.get_log("browser"))
    assert "Content Security Policy" in said
