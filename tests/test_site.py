"""The documentation builds strictly, has every setting, and loads nothing from other hosts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from semisup.config import reference, registry
from semisup.config.compose import option_files

pytest.importorskip("mkdocs", reason="make docs needs the extra docs")
pytest.importorskip("material", reason="make docs needs the extra docs")
ROOT = Path(__file__).resolve().parents[1]
SOURCES = (
    "mkdocs.yml",
    "docs",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "examples",
    "conf",
    "semisup",
)
LOADED = re.compile(r"<(?:script|img|iframe|source)[^>]+src=\"?https?://|<link[^>]+rel=\"?stylesheet\"?[^>]+https?://")


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of `root`, with the package and the settings of `root`."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    path = os.pathsep.join([str(root), *sys.path])
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the documentation is made of."""
    root = tmp_path_factory.mktemp("copy")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    return root


def test_site_has_every_setting_and_loads_nothing_from_other_hosts(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "settings" / "index.html").read_text()
    for group in registry.GROUPS:
        for name in option_files(group):
            for each in reference.describe_option(group, name).settings:
                assert f"<code>{each.key}</code>" in text
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 15
    assert [page.name for page in pages if LOADED.search(page.read_text())] == []


def build_changed(copy: Path, site: Path, *changes: tuple[str, str, str]) -> str:
    """Build the copy with texts replaced, which must fail; return what was printed."""
    before = {name: (copy / name).read_text() for name, _, _ in changes}
    try:
        for name, old, new in changes:
            assert old in before[name]
            (copy / name).write_text(before[name].replace(old, new))
        done = build(copy, site)
    finally:
        for name, text in before.items():
            (copy / name).write_text(text)
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_broken_links_fail_the_build(copy: Path, tmp_path: Path) -> None:
    page = ("docs/concepts.md", "(statistics.md)", "(statistic.md)")
    anchor = ("docs/commands.md", "(reproducing.md)", "(reproducing.md#nowhere)")
    printed = build_changed(copy, tmp_path, page, anchor)
    assert "statistic.md" in printed
    assert "nowhere" in printed


def test_setting_without_a_sentence_fails_the_build(copy: Path, tmp_path: Path) -> None:
    comment = "  # minimum confidence of a pseudo-label"
    assert "threshold.tau" in build_changed(copy, tmp_path, ("conf/threshold/fixed.yaml", comment, ""))
