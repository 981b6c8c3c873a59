"""Measure the overhead of encoders and of runs on their features, and the runs per minute.

In the first three entries, "A / B" is the time of A divided by the time of B.

encoding_over_forward      encoding images and storing the features in memory / forward passes on float batches
step_over_bare_head        a FixMatch step on stored features / a minimal step of the linear classifier
run_over_bare_head         a whole run with its files and evaluations / as many minimal steps of the linear classifier
runs_per_minute            60 runs (12 thresholds x 5 seeds) and their reference runs / minutes of the command
runs_per_minute.wandb      the same with W&B offline
"""

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from benchmarks.clock import Measured, Plan, Work, in_turn, ratio, single
from benchmarks.inputs import checked, images, photographs
from benchmarks.startup import SEMISUP, seconds
from benchmarks.steps import our_step
from semisup.core.inference import to_float
from semisup.encoder import encode_batch
from semisup.features import EncodingJob, FeaturePack, PackRecipe, encode_missing, image_digests
from semisup.images.cache import no_progress
from semisup.runner.data import build_problem
from semisup.runner.encoding import encode_run
from semisup.runner.progress import Bars
from semisup.runner.run import run
from semisup.training.state import start

TAUS = ",".join(f"0.{number}" for number in range(40, 88, 4))
WORDS = (
    *("experiment=photographs", "encoder=lite0", "encoder.input_size=32"),  # 1,280 features, encoded fast
    *("method=fixmatch", "augment=randaugment", "augment@weak=weak"),  # a step that uses stored views
    *("encoder.precision=float32", "encoder.views=2", "dataset.size=32", "dataset.on_duplicate=ignore"),
)


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    if plan.wants("encoder.encoding_over_forward"):
        yield "encoder.encoding_over_forward", _encoding(plan)
    if not plan.wants("encoder.step_over_bare_head", "encoder.run_over_bare_head", "encoder.runs_per_minute"):
        return
    with photographs(200 if plan.quick else 600) as root, tempfile.TemporaryDirectory(prefix="semisup-bench-") as name:
        words = (*WORDS, f"dataset.root={root}", f"output_root={name}", "collapse.warn_below=null")
        if plan.wants("encoder.step_over_bare_head", "encoder.run_over_bare_head"):
            yield from _run(plan, words)
        for entry, more in (("", ("tracking=none",)), (".wandb", ("tracking.mode=offline",))):
            if plan.wants(f"encoder.runs_per_minute{entry}"):
                yield f"encoder.runs_per_minute{entry}", _runs_per_minute(plan, (*words, *more), Path(name))


def _encoding(plan: Plan) -> Measured:
    encoder: Any = checked("encoder=lite0", "model=linear").encoder
    network, batches = encoder.build(), 1 if plan.quick else 3
    pictures, numbers = images(batches * encoder.batch, encoder.input_size, 0), itertools.count()
    recipe = PackRecipe(encoder, None, (3, encoder.input_size, encoder.input_size), torch.device("cpu"))
    parts = to_float(pictures.pixels).split(encoder.batch)

    def encode() -> None:
        pictures.pixels[:, 0, 0, 0] = next(numbers) % 256  # new images in each call: no stored features are reused
        job = EncodingJob(FeaturePack(None, recipe), [pictures], image_digests(pictures))
        encode_missing(lambda: network, job, no_progress)

    def forward() -> None:
        for part in parts:
            encode_batch(network, part, encoder.batch)

    return ratio(in_turn(plan.rounds, {"ours": encode, "bare": forward}, plan.shortest), "ours", "bare")


def _run(plan: Plan, words: tuple[str, ...]) -> Iterator[tuple[str, Measured]]:
    """Measure a training step, and a whole run, on 1,280 features per image."""
    steps = 60 if plan.quick else 600
    config = checked(*words, f"train.steps={steps}", "train.evaluate_every_steps=100")
    with Bars() as bars:
        data = config.dataset.read(config.dataset.inspect(), bars.watch)
        encoded = encode_run(config, build_problem(config, data), data, bars)
        endless = replace(encoded.config.settings.train, steps=10**8, evaluate_every_steps=10**8)
        ready = replace(encoded.config, settings=replace(encoded.config.settings, train=endless))
        works = {"ours": our_step(ready, encoded.problem), "bare": _bare_step(ready, encoded.problem)}
        step = ratio(in_turn(plan.rounds, works, plan.shortest), "ours", "bare")
        yield "encoder.step_over_bare_head", step
        if not plan.wants("encoder.run_over_bare_head"):
            return
        run(checked(*words, "tracking=none", "train.steps=1"), bars, in_sweep=True)  # reads the images
        took = []
        for number in range(3):
            began = time.perf_counter()
            own = checked(*words, "tracking=none", f"train.steps={steps}", f"threshold.tau=0.{5 + number}")
            assert run(own, bars, in_sweep=True).status == "done"
            took.append((time.perf_counter() - began) / steps / step.seconds["bare"])
        yield "encoder.run_over_bare_head", single(took, seconds={"bare step": step.seconds["bare"]})


def _bare_step(config: Any, problem: Any) -> Work:
    """Build a function that computes a minimal training step of a linear classifier on features in memory.

    The step has the forward and backward passes of a FixMatch step and the optimizer update.
    """
    state, settings = start(problem, config.settings), config.settings
    batch, unlabeled = settings.train.batch_size, settings.train.batch_size * settings.method.ratio
    labeled, targets = problem.labeled.pixels.plain(torch.arange(batch)), problem.labeled.targets[:batch]
    weak = problem.unlabeled.pixels.plain(torch.arange(unlabeled) % len(problem.unlabeled))
    both = torch.cat((labeled, weak))
    state.student.train()

    def work() -> None:
        with torch.no_grad():
            selected = state.student(weak).argmax(dim=1)
        logits, strong = state.student(both).split((batch, unlabeled))
        loss = cross_entropy(logits, targets) + cross_entropy(strong, selected)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()

    return work


def _runs_per_minute(plan: Plan, words: tuple[str, ...], root: Path) -> Measured:
    """Measure how many runs a sweep finishes per minute, on all cores, with features that are already stored.

    Reference runs are counted, too.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    name = f"sweep{len(words)}-{time.time_ns()}"
    length = [f"train.steps={60 if plan.quick else 600}", "hydra/launcher=cores", f"name={name}"]
    grid = (f"threshold.tau={TAUS}", f"seed={'0' if plan.quick else '0,1,2,3,4'}", "augment.strength=0.25")
    store = ("augment.strength=0.25", "train.steps=1", "sweep.control=false", f"name={name}-features")
    seconds([*SEMISUP, "train", *words, *store], environment)
    took = seconds([*SEMISUP, "train", "-m", *words, *length, *grid], environment)
    runs = len([*(root / name).glob("*/summary.json")])
    assert runs, "no run was finished"
    return replace(single([60 * runs / took.wall]), cpu=60 * runs / took.cpu)
