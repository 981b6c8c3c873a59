"""Decode mutated images: `python -m tests.images.fuzz --seconds 600`.

Decoding a file must take at most a second of CPU time and 512 MB, print nothing and raise no error except
BadImageError. The result is an image of the right shape, or a reason. If the format has a checksum, or if the file was
only cut, an image must equal that of the unchanged file. Files that fail are kept in corpus/, which the tests replay.
"""

import argparse
import contextlib
import functools
import hashlib
import json
import os
import random
import resource
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy
from PIL import ImageFile

from semisup.images.decode import REASONS, BadImageError, decode
from semisup.images.decode_settings import DecodeSettings
from tests.images.mutants import Mutant, mutant, seeds
from tests.images.zoo import BACKGROUND

CORPUS = Path(__file__).parent / "corpus"
RECIPES = tuple(
    DecodeSettings(size=16, resize=resize, draft=draft, background=BACKGROUND, max_pixels=4_000_000)
    for resize, draft in (("stretch", False), ("center_crop", True))
)
SECONDS, ENDLESS, KILOBYTES = 1.0, 10.0, 512_000
MOST_KEPT = 20  # of one campaign
Make = Callable[[int], Mutant]
PARTS = ("unchanged", "other pixels", "one color", *REASONS)
"""What becomes of a mutant: a square as of the seed, another one, one of a single color; or a reason."""


@functools.cache
def wanted(seed: str, recipe: DecodeSettings) -> Any:
    return decode(seeds()[seed], recipe).pixels


def judge(case: Mutant, recipe: DecodeSettings) -> tuple[str, str]:
    """Decode a mutant; return its outcome (one of PARTS) and what is wrong with it ("" = nothing)."""
    start = time.process_time()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            pixels, part = decode(case.data, recipe).pixels, ""
        except BadImageError as bad:
            pixels, part = None, bad.reason
        except Exception as error:
            return "corrupt", f"raised {type(error).__name__}"
    wrong = [f"took {time.process_time() - start:.1f} s"] if time.process_time() - start > SECONDS else []
    wrong += [f"warned: {each.message}" for each in told]
    wrong += ["lets truncated images through"] if ImageFile.LOAD_TRUNCATED_IMAGES else []
    if pixels is not None:
        if (
            pixels.shape != (3, recipe.size, recipe.size)
            or pixels.dtype != numpy.uint8
            or not pixels.flags.c_contiguous
        ):
            wrong.append(f"gave {pixels.dtype} {pixels.shape}")
        same = case.seed in seeds() and numpy.array_equal(pixels, wanted(case.seed, recipe))
        part = "unchanged" if same else "one color" if pixels.min() == pixels.max() else "other pixels"
        held = case.how == "cut" or (case.seed.startswith("png") and "sealed" not in case.how)
        if held and not same:
            wrong.append("gave other pixels in silence")
    return part, "; ".join(wrong)


def campaign(make: Make, numbers: Iterator[int]) -> tuple[dict[str, Counter[str]], list[tuple[int, str]]]:
    """Decode the mutants with these numbers in a process that may die.

    Returns:
        format -> counts of PARTS; and the numbers that failed, with what was wrong.
    """
    parts: dict[str, Counter[str]] = {}
    failed: list[tuple[int, str]] = []
    for number in numbers:
        at = number
        for at, part, wrong in _in_a_process(make, number, numbers):
            parts.setdefault(make(at).seed.split()[0], Counter())[part] += 1
            if wrong:
                failed.append((at, wrong))
    return parts, failed


def _in_a_process(make: Make, number: int, numbers: Iterator[int]) -> Iterator[tuple[int, str, str]]:
    """Yield number, outcome and fault of each mutant; if the process dies, the last one is that which killed it."""
    theirs, ours = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(theirs[1]), os.close(ours[0])
        with contextlib.suppress(BaseException), os.fdopen(theirs[0], "rb") as told, os.fdopen(ours[1], "wb") as line:
            _serve(make, told, line)
        os._exit(0)
    os.close(theirs[0]), os.close(ours[1])
    with os.fdopen(theirs[1], "wb") as line, os.fdopen(ours[0], "rb") as told:
        at: int | None = number
        while at is not None:
            line.write(b"%d\n" % at)
            line.flush()
            answer = told.readline()
            if not answer:
                break
            yield at, *json.loads(answer)
            at = next(numbers, None)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if at is not None:
        how = "did not end" if code == -signal.SIGPROF else f"killed its process ({code})"
        yield at, "crashed", how


def _serve(make: Make, told: IO[bytes], line: IO[bytes]) -> None:
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with os.fdopen(os.memfd_create("words"), "r+b") as words:
        os.dup2(words.fileno(), 2)  # C libraries write there
        for number in map(int, told):
            signal.setitimer(signal.ITIMER_PROF, ENDLESS)
            part, wrong = judge(make(number), RECIPES[number % len(RECIPES)])
            signal.setitimer(signal.ITIMER_PROF, 0)
            now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            wrong += f" took {now - peak} kB" if now - peak > KILOBYTES else ""
            peak = max(peak, now - KILOBYTES)
            if said := words.seek(0, os.SEEK_END):
                wrong += f" said {said} bytes"
                words.truncate(words.seek(0))
            line.write(json.dumps([part, wrong]).encode() + b"\n")
            line.flush()


def keep(case: Mutant) -> Path:
    """Store a mutant in the corpus, from which the tests replay it."""
    CORPUS.mkdir(exist_ok=True)
    path = CORPUS / f"{hashlib.sha256(case.data).hexdigest()[:12]}.{case.seed.split()[0]}"
    path.write_bytes(case.data)
    return path


def _until(end: float) -> Iterator[int]:
    number = 0
    while time.monotonic() < end:
        yield number
        number += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    arguments = parser.parse_args()
    make = functools.partial(mutant, arguments.seed)
    parts, failed = campaign(make, _until(time.monotonic() + arguments.seconds))
    print(f"seed {arguments.seed}: {sum(map(Counter.total, parts.values()))} images, {len(failed)} failures")
    for name, counts in sorted(parts.items()):
        print(f"  {name:6}" + "".join(f"{counts[part]:8} {part}" for part in PARTS if counts[part]))
    for number, wrong in failed[:MOST_KEPT]:
        case = make(number)
        print(f"  {keep(case)}: number {number}, {case.seed}, {case.how}: {wrong}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
