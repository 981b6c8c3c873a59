"""Measure the time of the Food-11 tutorial's program (`tutorial.py`) divided by that of semisup, on generated JPEGs.

    load            reading all images for the first time, at 224 pixels
    load_64         the same at 64 pixels; semisup decodes a JPEG at a reduced size
    second_start    reading all images again; semisup has them in its cache, and the tutorial has no cache
    second_start_64 the same at 64 pixels
    train           an optimizer step of 16 images; semisup in its default precision on this machine
    score           labeling unlabeled images; semisup in its default precision on this machine
    train_float32, train_bfloat16, score_float32, score_bfloat16
                    the same, with semisup in the precision of the name
    peak_memory     peak memory of semisup / peak memory of the tutorial: a process reads 1,000 images, labels the
                    unlabeled set, selects all images and takes three steps

Both programs use the tutorial's network, which has 26.7 million parameters (`--quick`: fewer).
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks import tutorial
from benchmarks.clock import Measured, Plan, Work, in_turn, ratio, single
from benchmarks.inputs import CLASSES, QUICK, SHAPES, Shape, checked, photographs
from benchmarks.steps import METHODS, our_step
from semisup.core.inference import iter_logits, predict
from semisup.runner import data as run_data
from semisup.training.state import TrainingData, start

PREFIX = "tutorial_over_ours"
BATCH = 16


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    if not plan.wants(PREFIX):
        return
    shape, number = (QUICK if plan.quick else SHAPES)["cnn_224"], 250 if plan.quick else 1000
    with photographs(number) as root:
        for side, end in ((shape.size, ""), (64, "_64")):
            if plan.wants(f"{PREFIX}.load{end}", f"{PREFIX}.second_start{end}"):
                times = in_turn(5, _reading(root, side), shortest=0)
                yield f"{PREFIX}.load{end}", ratio(times, "seed", "first", own_work=False)
                yield f"{PREFIX}.second_start{end}", ratio(times, "seed", "second", own_work=False)
        if plan.wants(*(f"{PREFIX}.{each}" for each in ("train", "score"))):
            yield from _working(plan, root, shape)
        if plan.wants(f"{PREFIX}.peak_memory"):
            yield f"{PREFIX}.peak_memory", _peak(root, shape)


def config(root: Path, shape: Shape, *words: str) -> Any:
    """Compose the settings of semisup for a run on the images in `root`."""
    data = ("dataset=folder", f"dataset.root={root}", f"dataset.size={shape.size}", f"dataset.cache={root}/.cache")
    length = ("train.steps=100000000", "train.evaluate_every_steps=99999999", f"train.batch_size={BATCH}")
    return checked(*data, *length, f"model={shape.model}", *shape.words, "augment.strength=1", *words)


def read(dataset: Any) -> Any:
    return dataset.read(dataset.inspect(), lambda items, description, total: items)


def _reading(root: Path, side: int) -> dict[str, Work]:
    dataset = config(root, SHAPES["cnn_224"]._replace(size=side)).dataset

    def first() -> None:
        shutil.rmtree(root / ".cache", ignore_errors=True)
        read(dataset)

    def second() -> None:
        read(dataset)

    def both() -> None:  # the order of the functions rotates, and a second start needs the cache
        if not (root / ".cache").exists():
            read(dataset)

    both()
    return {"seed": lambda: tutorial.load(root, side), "first": first, "second": second}


def _working(plan: Plan, root: Path, shape: Shape) -> Iterator[tuple[str, Measured]]:
    kinds = {"": (), "_float32": ("precision=float32",), "_bfloat16": ("precision=bfloat16",)}
    configs = {end: config(root, shape, *METHODS["supervised"], *words) for end, words in kinds.items()}
    data: TrainingData = run_data.build_problem(configs[""], read(configs[""].dataset))
    images = data.labeled.pixels.permute(0, 2, 3, 1).contiguous().numpy()
    theirs = _network(configs[""], shape)
    works: dict[str, Work] = {"seed": tutorial.Learning(theirs, images, data.labeled.targets.numpy())}
    works |= {end: our_step(each, data) for end, each in configs.items()}
    times = in_turn(plan.rounds, works, plan.shortest)
    for end in configs:
        yield f"{PREFIX}.train{end}", ratio(times, "seed", end)
    pool = data.unlabeled.pixels[: 64 if plan.quick else 128]
    plain = pool.permute(0, 2, 3, 1).contiguous().numpy()
    works = {"seed": lambda: tutorial.score(theirs, plain, -1.0)}
    works |= {end: _scoring(each, data, pool) for end, each in configs.items()}
    times = in_turn(5, works, shortest=0)
    for end in configs:
        yield f"{PREFIX}.score{end}", ratio(times, "seed", end)


def _scoring(chosen: Any, data: TrainingData, pool: torch.Tensor) -> Work:
    model = start(data, chosen.settings).student

    def work() -> None:
        logits = torch.cat(list(iter_logits(model, pool, chosen.settings.train.eval_batch_size)))
        weight = predict(logits).confidence > -1
        weight.nonzero()

    return work


def _network(chosen: Any, shape: Shape) -> torch.nn.Module:
    """Build the tutorial's network with the same widths as the model of semisup."""
    model = chosen.settings.model
    return tutorial.network(model.widths, model.hidden, CLASSES, shape.size)


def _peak(root: Path, shape: Shape) -> Measured:
    """Measure the peak memory of semisup relative to that of the tutorial's program."""
    found: Mapping[str, float] = {kind: _peak_of(kind, root, shape) for kind in ("seed", "ours")}
    return single([found["ours"] / found["seed"]], seconds={f"{name} MiB": value for name, value in found.items()})


def _peak_of(kind: str, root: Path, shape: Shape) -> float:
    """Measure the peak memory of a process in MiB; `kind` is "ours" (semisup) or "seed" (the tutorial)."""
    command = [sys.executable, "-m", "benchmarks.tutorial_comparison", kind, str(root), json.dumps(shape)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return float(done.stdout.split()[-1])


def _whole(kind: str, root: Path, shape: Shape) -> None:
    """Run the work of the memory measurement, and print the peak memory of this process in MiB.

    The work is: read all images, label the unlabeled set, select all of it, and take three steps.
    """
    if kind == "seed":
        everything = tutorial.load(root, shape.size)
        images, targets = everything["labeled"]
        network = _network(config(root, shape), shape)
        kept, said = tutorial.score(network, everything["unlabeled"], -1.0)
        learning = tutorial.Learning(network, numpy_of(images, kept), [*targets, *said])
        for _ in range(3):
            learning()
    else:
        chosen = config(root, shape, *METHODS["self_training"])
        work = our_step(chosen, run_data.build_problem(chosen, read(chosen.dataset)))
        for _ in range(3):
            work()
    status = Path("/proc/self/status").read_text()  # ru_maxrss is at least the parent's at the fork
    print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def numpy_of(images: Any, kept: list[Any]) -> Any:
    import numpy

    return numpy.concatenate((images, numpy.array(kept)))


if __name__ == "__main__":
    from benchmarks.process import begin

    begin()
    model, words, *numbers = json.loads(sys.argv[3])
    _whole(sys.argv[1], Path(sys.argv[2]), Shape(model, tuple(words), *numbers))
