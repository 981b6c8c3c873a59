"""`python -m bench`: our training step over the bare model's, augmentation's share, scoring over a bare forward.

Everything that is compared is measured in turn in one run, after a warm-up; medians of ROUNDS. Prints a table of ratios
and writes outputs/bench/bench.json with the machine and the thread count. The bare step is forward, backward and
optimizer on one resident batch at the same precision and layout.
"""

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import torch
from torch.nn.functional import cross_entropy

from semisup import build
from semisup.augment import to_float
from semisup.commands._door import config_folder
from semisup.disk import write_atomically
from semisup.events import StepDone
from semisup.labeler import logits_of
from semisup.record.environment import environment
from semisup.seeding import stream
from semisup.shapes import Images
from semisup.state import Problem, start
from semisup.trainer import train

ROUNDS, STEPS = 7, 6
MODELS = {"small_cnn_64": ("small_cnn", 64, 32), "cnn_64": ("cnn", 64, 16)}


def settings(*words: str) -> Any:
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        return build.check(hydra.compose("train", overrides=["tracking=none", *words]))


def problem(size: int) -> Problem:
    def images(number: int, seed: int) -> Images:
        pixels = torch.randint(0, 256, (number, 3, size, size), dtype=torch.uint8, generator=stream(seed, "bench"))
        return Images(pixels, torch.arange(number) % 11, [""] * number)

    pool = images(512, 1)
    return Problem(images(512, 0), pool, images(32, 2), images(32, 3), pool.targets, 11, torch.device("cpu"))


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(*works: Callable[[], object]) -> list[float]:
    """Median seconds of each, measured one after the other, round by round."""
    for work in works:
        work()
    rounds = [[seconds(work) for work in works] for _ in range(ROUNDS)]
    return [statistics.median(each) for each in zip(*rounds, strict=True)]


def steps_of(config: Any, data: Problem) -> Callable[[], object]:
    """STEPS of our training, whatever an epoch is."""
    state = start(data, config.settings)
    events = train(data, config.settings, state)

    def work() -> None:
        done = 0
        while done < STEPS:
            done += isinstance(next(events), StepDone)

    return work


def bare_steps(config: Any, data: Problem, batch: int) -> Callable[[], object]:
    state = start(data, config.settings)
    images, targets = to_float(data.labeled.pixels[:batch]), data.labeled.targets[:batch]

    def work() -> None:
        state.student.train()
        for _ in range(STEPS):
            loss = cross_entropy(state.student(images), targets)
            state.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            state.optimizer.step()

    return work


def measured(name: str, model: str, size: int, batch: int) -> dict[str, float]:
    """The ratios of one model."""
    data, length = problem(size), ["train.steps=100000", "train.evaluate_every_steps=99999"]
    words = [f"model={model}", f"train.batch_size={batch}", *length]
    supervised = settings(*words, "method=supervised")
    eager = settings(*words, "method.gate=0", "threshold.tau=0", "method.refresh_every=99999")
    bare = bare_steps(supervised, data, batch)
    alone, plain, pseudo = in_turn(bare, steps_of(supervised, data), steps_of(eager, data))
    augment, pixels = supervised.settings.augment, data.labeled.pixels[:batch]
    (view,) = in_turn(lambda: [augment.apply(pixels, stream(0)) for _ in range(STEPS)])
    network = start(data, supervised.settings).student.eval()
    parts = to_float(data.unlabeled.pixels).split(256)

    def forward() -> None:
        with torch.no_grad():
            for part in parts:
                network(part)

    scored, bare_forward = in_turn(lambda: list(logits_of(network, data.unlabeled.pixels, 256)), forward)
    return {
        f"step_over_bare.{name}.supervised": plain / alone,
        f"step_over_bare.{name}.self_training": pseudo / alone,
        f"augment_share.{name}": view / plain,
        f"score_over_forward.{name}": scored / bare_forward,
    }


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    ratios: dict[str, float] = {}
    for name, shape in MODELS.items():
        ratios |= measured(name, *shape)
    machine = environment()
    setting = {"threads": 1, "rounds": ROUNDS, "machine": machine["processor"], "torch": machine["packages"]["torch"]}
    folder = Path("outputs/bench")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "bench.json", json.dumps({"ratios": ratios} | setting, indent=2).encode())
    print(f"{machine['processor']}, 1 thread, median of {ROUNDS}")
    for key, value in ratios.items():
        print(f"{key:<50}{value:6.3f}")
    print(f"wrote {folder / 'bench.json'}")


if __name__ == "__main__":
    main()
