"""Draw docs/report.png: the top of a sweep's report.html, as headless Chromium shows it.

semisup compare outputs/threshold_by_strength
python docs/draw_report.py outputs/threshold_by_strength
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

WIDTH, HEIGHT = 900, 1000


def main() -> None:
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT + 150}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        browser.get((Path(sys.argv[1]).resolve() / "report.html").as_uri())
        picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).crop((0, 0, WIDTH, HEIGHT))
    finally:
        browser.quit()
    picture.convert("RGB").quantize(128).save(Path(__file__).parent / "report.png", optimize=True)


if __name__ == "__main__":
    main()
