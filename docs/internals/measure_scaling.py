"""Measure the cost of one more unlabeled image: the constants of docs/internals/scaling.md.

python docs/internals/measure_scaling.py constants            print them as a table (2 minutes; times are CPU times)
python docs/internals/measure_scaling.py pool FOLDER COUNT    make a data set of COUNT unlabeled images of 32 pixels
"""

import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import numpy
import torch
from PIL import Image

from semisup.config import schema
from semisup.config.hydra_versions import initialized
from semisup.core.events import PoolLabeled
from semisup.core.inference import iter_logits
from semisup.core.types import Images
from semisup.images.cache import read
from semisup.images.decode_settings import DecodeSettings
from semisup.images.on_disk import LazyImages, PackedImages
from semisup.images.packs import PREFIX
from semisup.images.scan import scan
from semisup.method import Position
from semisup.record.writer import RunWriter
from semisup.runtime.precision import configure_torch, wrap_forward
from semisup.training.state import TrainingData, make_context, start

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


def main() -> None:
    """The words of the command line."""
    if sys.argv[1:2] == ["pool"]:
        make_pool(Path(sys.argv[2]), int(sys.argv[3]))
        return
    configure_torch(1, deterministic=True)
    for name, value, unit in constants():
        print(f"| {name} | {value:.3g} | {unit} |", flush=True)


def photograph(side: int, seed: int) -> Image.Image:
    """Smooth noise, which is as hard to decode as a photograph."""
    values = numpy.random.default_rng(seed).integers(0, 256, (side // 8 + 1, side // 8 + 1, 3), dtype=numpy.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)


def make_pool(folder: Path, count: int) -> None:
    """10 classes of 20 labeled and 50 validation images, `count` unlabeled ones in folders of 1,000; no two alike."""
    seed = count  # the unlabeled ones have those below
    for split, each in (("training/labeled", 20), ("validation", 50)):
        for number in range(10 * each):
            place = folder / split / f"class{number % 10}"
            place.mkdir(parents=True, exist_ok=True)
            photograph(32, seed).save(place / f"{number}.jpg")
            seed += 1
    for number in range(count):
        place = folder / "training/unlabeled" / f"{number // 1000:06d}"
        if number % 1000 == 0:
            place.mkdir(parents=True)
        photograph(32, number).save(place / f"{number:09d}.jpg")


def constants() -> Iterator[tuple[str, float, str]]:
    """Name, value, unit of each."""
    with tempfile.TemporaryDirectory() as place:
        yield from of_files(Path(place))
        yield from of_reading(Path(place))
        yield from of_records(Path(place))
    yield from of_steps()


def of_files(place: Path) -> Iterator[tuple[str, float, str]]:
    """Scanning, decoding, and what is remembered of a file."""
    for side in (32, 500):
        folder = place / str(side)
        folder.mkdir()
        for number in range(200):
            photograph(side, number).save(folder / f"{number}.jpg")
    many = place / "many"
    many.mkdir()
    for number in range(20_000):
        os.link(place / "32" / f"{number % 200}.jpg", many / f"a photograph of the pool {number:06d}.jpg")
    tracemalloc.start()
    began = time.process_time()
    files = scan(many, many, follow_symlinks=False).files
    yield "scan", (time.process_time() - began) / len(files) * 1e6, "us a file (with tracemalloc)"
    yield "memory of the list of files", tracemalloc.get_traced_memory()[0] / len(files), "bytes a file"
    tracemalloc.stop()
    for side, size in ((32, 32), (500, 64), (500, 224)):
        found = scan(place / str(side), place / str(side), follow_symlinks=False).files
        recipe = DecodeSettings(size, "stretch", draft=True, background=255, max_pixels=10**6)
        seconds = median(lambda found=found, recipe=recipe: read(found, recipe, None, 1, unwatched), 3)
        yield f"decode, JPEG of {side} pixels to {size}", seconds / len(found) * 1e3, "ms an image and process"
    recipe = DecodeSettings(32, "stretch", draft=True, background=255, max_pixels=10**6)
    few = files[:5000]
    peaks = []
    for some in (few, files):
        tracemalloc.start()
        read(some, recipe, place / f"cache of {len(some)}", 1, unwatched, stored=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    each = (peaks[1] - peaks[0]) / (len(files) - len(few))
    yield "memory of digests and keys", each, "bytes a file more, at the peak"
    cache = place / f"cache of {len(few)}"
    warm = median(lambda: read(few, recipe, cache, 1, unwatched, stored=True), 3)
    yield "warm start, 32 pixels", warm / len(few) * 1e6, "us a file"
    disk = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    yield "cache, 32 pixels", disk / len(few), "bytes an image (3,072 are pixels)"


def of_reading(place: Path) -> Iterator[tuple[str, float, str]]:
    """The rows of a step of 448 images out of a pool of 200,000, and the whole of it in order."""
    count = 200_000
    with open(place / "pack", "wb") as file:
        file.write(bytes(PREFIX.size))
        for _ in range(count // 1000):
            file.write(bytes(3072 * 1000))
    rows = PackedImages(place / "pack", (count, 3, 32, 32), PREFIX.size)
    which, row = numpy.zeros(count, numpy.uint8), numpy.arange(count)
    stored, resident = LazyImages([rows], which, row, CPU), torch.from_numpy(numpy.asarray(rows))
    order = torch.randperm(count)[:448]
    for name, pixels in (("resident", resident), ("in the cache's file", stored)):
        yield f"rows of a step, {name}", median(lambda pixels=pixels: pixels[order], 21) / 448 * 1e6, "us an image"
    whole = median(lambda: list(stored.split(256)), 3)
    yield "reading in order, in the cache's file", whole / count * 1e6, "us an image"
    for images in (10**5, 10**6, 10**7):
        seconds = median(lambda images=images: torch.randperm(images), 3)
        yield f"order of a pass over {images:,}", seconds / images * 1e9, "ns an image, and 8 bytes"


def of_records(place: Path) -> Iterator[tuple[str, float, str]]:
    """One labeling of a pool: in the method, in the files, in the checkpoint."""
    count = 100_000
    for method, policy in (
        ("fixmatch", "fixed"),
        ("fixmatch", "flexmatch"),
        ("fixmatch", "class_balanced"),
        ("self_training", "fixed"),
    ):
        problem, settings = problem_of(count), settings_of(f"method={method}", f"threshold={policy}")
        state = start(problem, settings)
        size = sum(value.nbytes for value in state.memory.values())
        yield f"memory and checkpoint, {method} with {policy}", size / count, "bytes an image"
    problem, settings = problem_of(count), settings_of("method=fixmatch")
    state = start(problem, settings)
    learner = make_context(problem, settings, state)
    state.memory["last/targets"].fill_(1)
    state.memory["last/predicted"].fill_(1)
    began = time.process_time()
    (event,) = [each for each in report(settings, learner, state) if isinstance(each, PoolLabeled)]
    yield "telling of a labeling", (time.process_time() - began) / count * 1e6, "us an image, at an evaluation"
    dataset = {"fingerprint": "", "classes": [f"class{number}" for number in range(10)]}
    with RunWriter(place / "run", {}, {}) as record:
        record.describe(dataset, {}, problem.unlabeled.paths)
        record.resume()
        began = time.process_time()
        record.add(event)
        yield "pseudo_labels.csv", (time.process_time() - began) / count * 1e6, "us an image and round"
        disk = (place / "run" / "pseudo_labels.csv").stat().st_size
        yield "pseudo_labels.csv", disk / count, "bytes an image and round"
        began = time.process_time()
        record.save(state.snapshot())
        yield "a checkpoint", (time.process_time() - began) / count * 1e9, "ns an image"


def report(settings: Any, learner: Any, state: Any) -> Iterator[Any]:
    yield from settings.method.report(learner, state.memory, Position(1, 0, 0, 0.0))


def of_steps() -> Iterator[tuple[str, float, str]]:
    """Scoring, image by image; and of a step what grows with the pool."""
    pixels = torch.randint(0, 256, (1024, 3, 32, 32), dtype=torch.uint8)
    for model in ("small_cnn", "wide_resnet"):
        for precision in ("float32", "bfloat16"):
            network = settings_of(f"model={model}").model.build(3, 10, 32)
            wrap_forward(network, precision, CPU, channels_last=True, compile=False)
            images = pixels if model == "small_cnn" else pixels[:256]
            seconds = median(lambda network=network, images=images: list(iter_logits(network, images, 256)), 3)
            yield f"scoring, {model} at 32 pixels, {precision}", seconds / len(images) * 1e3, "ms an image"
    for policy in ("fixed", "flexmatch", "class_balanced"):
        for count in (10**4, 10**6):
            problem, settings = problem_of(count), settings_of("method=fixmatch", f"threshold={policy}")
            state = start(problem, settings)
            learner = make_context(problem, settings, state)
            place = Position(0, 0, 0, 0.0)

            def step(learner: Any = learner, settings: Any = settings, state: Any = state, place: Any = place) -> None:
                _, state.memory = settings.method.loss(learner, state.memory, place)

            yield f"a step with {policy}, pool of {count:,}", median(step, 5) * 1e3, "ms"


def settings_of(*words: str) -> Any:
    hydra.core.global_hydra.GlobalHydra.instance().clear()
    small = (
        ("tracking=none", "device=cpu", "model.widths=[8,16]")
        if "model=wide_resnet" not in words
        else ("tracking=none", "device=cpu")
    )
    with initialized(ROOT / "conf"):
        return schema.validate(hydra.compose("train", overrides=[*small, *words])).settings


def problem_of(count: int) -> TrainingData:
    """A pool of `count` 1-pixel images: what a pool costs besides its pixels."""

    def images(number: int, target: int) -> Images:
        pixels = torch.zeros(number, 3, 8, 8, dtype=torch.uint8)
        return Images(
            pixels, torch.full((number,), target), [f"training/unlabeled/{each:09d}.jpg" for each in range(number)]
        )

    few = images(100, 1)
    return TrainingData(few, images(count, -1), few, few, torch.full((count,), -1), 10, CPU)


def median(act: Callable[[], object], times: int) -> float:
    """Seconds of this processor's time: others may be at work on it."""
    found = []
    for _ in range(times):
        began = time.process_time()
        act()
        found.append(time.process_time() - began)
    return statistics.median(found)


def unwatched(items: Any, *_: object) -> Any:
    return items


if __name__ == "__main__":
    main()
