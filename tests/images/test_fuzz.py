"""Test that mutated images cause no crash, no hang and no wrong pixels, and that the fuzzer would detect these."""

import functools
import mmap
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from semisup.images.decode import BadImageError, Decoded
from tests.images import fuzz
from tests.images.fuzz import CORPUS, PARTS, campaign, keep, main
from tests.images.mutants import CHANGES, Mutant, mutant, seeds
from tests.reliability import report

COUNT = 2000
first_seed = functools.partial(mutant, 0)


def test_mutants_are_deterministic_and_use_every_change() -> None:
    cases = [first_seed(number) for number in range(400)]
    assert cases == [first_seed(number) for number in range(400)]
    assert {case.seed for case in cases} == set(seeds())
    assert {word for case in cases for word in case.how.split()} == {*CHANGES, "cut", "sealed"}
    assert mutant(1, 0) != mutant(0, 0)


def test_mutated_images_cause_no_failure(
    record_property: Callable[[str, object], None],
) -> None:
    parts, failed = campaign(first_seed, iter(range(COUNT)))
    record_property("faults", (COUNT, COUNT - len(failed)))
    assert failed == []
    total = sum(map(Counter.total, parts.values()))
    assert total == COUNT
    reasons = [part for part in PARTS if any(counts[part] for counts in parts.values())]
    assert {"unchanged", "unidentified", "truncated", "corrupt", "too large"} <= set(reasons)
    rows = [
        [name, counts.total(), *(counts[part] or "" for part in reasons), 0] for name, counts in sorted(parts.items())
    ]
    text = f"""
{COUNT} damaged files (seed 0) were made from {len(seeds())} images of six formats: bytes were flipped, overwritten,
deleted, inserted or repeated, files were cut, and two files were joined. `make fuzz` tests more such files. No damaged
file killed or blocked the process, took over a second or 512 MB, printed anything, or raised an undocumented error.
The column "other pixels" counts damaged files that were read without an error but with other pixels. They are files of
formats without checksums, and PNG files whose checksums had been computed again. Files that were only cut are never
among them.
"""
    report("d-images-fuzz", "Mutated images", text, ["format", "files", *reasons, "failures"], rows)


def test_kept_fuzz_files_cause_no_failure() -> None:
    kept = sorted(CORPUS.iterdir())
    assert kept
    _, failed = campaign(
        lambda number: Mutant(kept[number].name, "kept", kept[number].read_bytes()), iter(range(len(kept)))
    )
    assert [(kept[number].name, wrong) for number, wrong in failed] == []


def decoded(value: int = 0) -> Decoded:
    return Decoded(numpy.full((3, 16, 16), value, numpy.uint8), False)


def dies(*_: Any) -> Decoded:
    os.kill(os.getpid(), signal.SIGKILL)
    return decoded()


def hangs(*_: Any) -> Decoded:
    while True:
        pass


def talks(*_: Any) -> Decoded:
    os.write(2, b"TIFFReadDirectory: ...")
    raise BadImageError("corrupt")


def spends(*_: Any) -> Decoded:
    """Allocate new memory, more than the C library keeps after freeing."""
    spent = mmap.mmap(-1, 2**27)
    pixels = numpy.frombuffer(spent, numpy.uint8)
    pixels[:] = 1
    return Decoded(pixels[: 3 * 16 * 16].reshape(3, 16, 16), False)


def raises(*_: Any) -> Decoded:
    raise OSError("image file is truncated")


DEFECTS = {
    "killed its process (-9)": dies,
    "did not end": hangs,
    "said 22 bytes": talks,
    " kB": spends,
    "raised OSError": raises,
    "gave uint8 (3, 16)": lambda *_: Decoded(numpy.zeros((3, 16), numpy.uint8), False),
    "gave float64 (3, 16, 16)": lambda *_: Decoded(numpy.zeros((3, 16, 16)), False),
    "gave other pixels in silence": lambda *_: decoded(7),
}


@pytest.mark.parametrize("wrong", DEFECTS)
def test_fuzzer_detects_every_planted_decoder_defect(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (number,) = [number for number in range(200) if first_seed(number).how == "cut"][:1]
    for recipe in fuzz.RECIPES:
        fuzz.wanted(first_seed(number).seed, recipe)
    monkeypatch.setattr(fuzz, "decode", DEFECTS[wrong])
    monkeypatch.setattr(fuzz, "ENDLESS", 5.0 if wrong == " kB" else 0.3)
    monkeypatch.setattr(fuzz, "KILOBYTES", 64_000)
    parts, failed = campaign(first_seed, iter([number, number]))
    assert sum(map(Counter.total, parts.values())) == 2, "the campaign goes on"
    assert failed[0][0] == number
    assert wrong in failed[0][1]
    assert wrong == " kB" or failed[1] == failed[0]


def test_fuzz_command_keeps_failing_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "CORPUS", tmp_path / "corpus")
    monkeypatch.setattr(fuzz, "decode", talks)
    monkeypatch.setattr(sys, "argv", ["fuzz", "--seconds", "0.2", "--seed", "3"])
    assert main() == 1
    kept = list((tmp_path / "corpus").iterdir())
    assert 0 < len(kept) <= fuzz.MOST_KEPT
    assert keep(mutant(3, 0)) in kept
    assert "seed 3: " in capsys.readouterr().out
