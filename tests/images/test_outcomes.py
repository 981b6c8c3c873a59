"""Test that every kind of file has the outcome that docs/data.md documents, with the real scan and decoder."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy
import pytest
from PIL import Image, ImageOps

from semisup.images.decode import REASONS
from semisup.images.decode_settings import DecodeSettings
from semisup.images.formats import HEIC_HINT, SUFFIXES
from semisup.images.ignored_files import OTHER_SUFFIX
from semisup.images.pool import decode_files
from semisup.images.scan import scan
from semisup.text import escape_name
from tests.images import outcomes
from tests.images.outcomes import IGNORED, KINDS, NAMES, QUARANTINED, Kind, kind_of, specimens
from tests.images.zoo import BACKGROUND, in_child, oriented, passes
from tests.reliability import report

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data.md"
RECIPE = DecodeSettings(size=8, resize="stretch", draft=False, background=BACKGROUND, max_pixels=50_000_000)
PROGRAMS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork")


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Any]]:
    """Scan and decode all test files as a user who is not root; also record opened files and started programs."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o777)
    (place / "zoo").mkdir()
    outcomes.fill(place / "zoo")

    def look() -> None:
        opened, started = [], []

        def hear(event: str, arguments: Any) -> None:
            if event == "open" and str(place / "zoo") in os.fsdecode(str(arguments[0])):
                opened.append(Path(str(arguments[0])).name)
            if event in PROGRAMS:
                started.append(event)

        sys.addaudithook(hear)
        scanned = scan(place / "zoo", place / "zoo", follow_symlinks=False)
        files = {
            kind.name: [kind.reason, kind.animated, None if kind.pixels is None else kind.pixels.tolist()]
            for kind in decode_files(scanned.files, RECIPE, 1)
        }
        text = json.dumps({"ignored": scanned.ignored, "files": files, "opened": opened, "started": started})
        (place / "found.json").write_text(text)

    assert passes(in_child(look, user=65534))
    yield json.loads((place / "found.json").read_text())
    shutil.rmtree(place)


def name_of(word: str) -> str:
    """Return the name of a test file in the records."""
    odd = {repr(name): name for name in NAMES}
    return escape_name(odd[word].decode("utf-8", "surrogateescape")) if word in odd else word


def wrong(kind: Kind, found: dict[str, Any]) -> list[str]:
    """List the files of a kind whose outcome differs from the documented one."""
    names = [name_of(word) for word in kind.names]
    if kind.outcome == IGNORED:
        opened = [] if kind.rule == OTHER_SUFFIX else found["opened"]  # of these, the first bytes are read
        seen = [name for name in names if name in found["files"] or name in opened]
        return seen if found["ignored"].get(kind.rule) == len(names) else names
    if kind.outcome == QUARANTINED:
        return [name for name in names if found["files"].get(name, [0])[0] != kind.rule]
    return [name for name in names if not _as_documented(name, *found["files"].get(name, ["missing", False, None]))]


def _as_documented(name: str, reason: str | None, animated: bool, pixels: Any) -> bool:
    if reason is not None or animated != ("first frame" in _rule(name)):
        return False
    if found := re.fullmatch(r"oriented_(\d)\.(\w+)", name):
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(oriented(int(found[1]), found[2].upper()))))
        wanted = numpy.asarray(upright.resize((8, 8), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        return numpy.array_equal(pixels, wanted)
    for kind in specimens():
        if kind.name == name:
            assert kind.color is not None
            return bool((numpy.abs(numpy.array(pixels) - numpy.reshape(kind.color, (3, 1, 1))) <= kind.tolerance).all())
    number = [name_of(repr(each)) for each in NAMES].index(name)
    return bool((numpy.array(pixels) == numpy.reshape((number, 99, 9), (3, 1, 1))).all())


def _rule(name: str) -> str:
    return "" if name in {name_of(repr(each)) for each in NAMES} else kind_of(name).rule


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_every_kind_of_file_has_its_documented_outcome(kind: Kind, found: dict[str, Any]) -> None:
    assert wrong(kind, found) == []


def test_every_test_file_has_one_documented_kind(found: dict[str, Any]) -> None:
    listed = sorted(name_of(word) for kind in KINDS if kind.outcome != IGNORED for word in kind.names)
    assert listed == sorted(found["files"])
    assert sum(found["ignored"].values()) == sum(len(kind.names) for kind in KINDS if kind.outcome == IGNORED)
    assert {kind.rule for kind in KINDS if kind.outcome == QUARANTINED} | {"too narrow", "crashed", HEIC_HINT} == set(
        REASONS
    )


def test_only_image_files_are_opened_and_no_program_is_started(found: dict[str, Any]) -> None:
    looked_at = [name for name in found["opened"] if PurePath(name).suffix not in SUFFIXES]
    decoded = list((Counter(found["opened"]) - Counter(set(looked_at))).elements())
    assert len(decoded) == len(set(decoded)) == len(found["files"]), "each file once, and no other"
    assert found["started"] == []


def test_documented_outcomes_match_the_tests() -> None:
    if not PAGE.exists():
        pytest.skip("no docs/ here")
    rows = re.findall(r"^\| (.+) \| (converted|ignored|quarantined) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(kind.what, kind.outcome, kind.rule) for kind in KINDS]
    reasons = dict(re.findall(r"^- `(.+?)`: (.+?)\.?$", PAGE.read_text(), re.MULTILINE))
    assert reasons == REASONS


MEMORY = """
import sys
from semisup.images.decode import BadImageError, decode
from semisup.images.decode_settings import DecodeSettings
def peak():  # kB, of this program alone: ru_maxrss has that of the process that started it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
data = open(sys.argv[1], "rb").read()
before = peak()
try:
    decode(data, DecodeSettings(8, "stretch", False, 255, int(sys.argv[2])))
except BadImageError as bad:
    print(bad.reason)
print(peak() - before)
"""


@pytest.mark.parametrize("name", ["bomb.png", "bomb_for_pillow.png", "tile.tif", "scans.jpg", "long_text.png"])
def test_decompression_bomb_takes_no_memory(tmp_path: Path, name: str) -> None:
    (data,) = [kind.data for kind in specimens() if kind.name == name]
    (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", MEMORY, tmp_path / name]
    ended = subprocess.run([*command, "50000000"], capture_output=True, text=True, timeout=60, check=True)
    reason, kilobytes = ended.stdout.split("\n")[:2]
    assert reason == kind_of(name).rule
    assert int(kilobytes) < 16_000
    if name == "bomb.png":  # the measure measures: the same file where it is let through
        ended = subprocess.run([*command, "178956970"], capture_output=True, text=True, timeout=60, check=True)
        assert int(ended.stdout) > 160_000


def test_the_figures_are_in_the_docs(found: dict[str, Any]) -> None:
    rows: list[list[object]] = []
    for outcome in dict.fromkeys(kind.outcome for kind in KINDS):
        kinds = [kind for kind in KINDS if kind.outcome == outcome]
        files = sum(len(kind.names) for kind in kinds)
        rows.append([outcome, len(kinds), files, files - sum(len(wrong(kind, found)) for kind in kinds)])
    text = """
`tests/images/zoo.py` creates files of all kinds in the table of [Data](../data.md#image-files). Each file had
the documented outcome: it was converted, quarantined or ignored. No file started another program, and only
regular files were opened.
"""
    report(
        "d-images", "Files that a folder may hold", text, ["outcome", "kinds of files", "files", "as documented"], rows
    )
