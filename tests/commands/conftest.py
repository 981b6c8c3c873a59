"""The program as typed, and a real browser, one for all pages of a process of tests; skipped where there is none."""

import copy
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from semisup.__main__ import main
from semisup.config import compose

Program = Callable[..., tuple[int, str]]
Within = Callable[..., "subprocess.CompletedProcess[str]"]

_compose = compose.defaults


@lru_cache(maxsize=64)
def _defaults(conf: Path, words: tuple[str, ...]) -> Any:
    return _compose([*words])


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """The program as typed in tmp_path, but in this process; gives exit status and all that it printed. A
    traceback is a failure. What `semisup train` would compose of the same words is composed once: 0.1 s each time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        compose, "defaults", lambda words: copy.deepcopy(_defaults(compose.config_folder(), tuple(words)))
    )

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["semisup", *words])
        status = main()
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    browser, service = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or service is None:
        pytest.skip("no browser here (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for word in ("--headless", "--window-size=1366,900", f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(word)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which it has not for root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options, Service(service))
    yield found
    found.quit()


@pytest.fixture
def within(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Within:
    """The program as typed in a folder, but in this process, which saves the import of torch; as `subprocess.run`."""

    def call(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["semisup", *words])
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda *of: print(warnings.formatwarning(*of[:4]), end="", file=sys.stderr)
            status = main()
        return subprocess.CompletedProcess([*words], status, *capsys.readouterr())

    return call
