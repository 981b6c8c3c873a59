"""Measure training steps and inference of semisup relative to bare forward and backward passes.

The bare step is the minimum that a method needs, at the same precision and memory layout: the forward and backward
passes and the optimizer update, on one float batch in memory. For FixMatch, it has a forward pass of the weak views
without gradient, and then one pass of the labeled and all strong views together. For supervised training and
self-training, it has the cross-entropy of one batch.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.clock import Measured, Plan, Work, in_turn, ratio
from benchmarks.inputs import QUICK, SHAPES, Shape, problem, settings
from semisup.core.batch_norm import freeze_bn_stats
from semisup.core.events import PoolLabeled, StepEnd
from semisup.core.inference import iter_logits, to_float
from semisup.core.rng import torch_generator
from semisup.training.loop import train
from semisup.training.state import State, TrainingData, start

METHODS = {
    "supervised": ("method=supervised",),
    "self_training": ("method.gate=0", "threshold.tau=0", "method.refresh_every=99999999"),
    "fixmatch": ("method=fixmatch", "augment=randaugment", "threshold.tau=0"),
}
SIDES = {"wrn_32": 32, "small_cnn_64": 64, "cnn_224": 224}


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    for name, side in SIDES.items():
        shape = (QUICK if plan.quick else SHAPES)[name]
        for method in METHODS:
            share = {"supervised": f"augment_share.{side}", "fixmatch": f"augment_share.{side}.fixmatch"}.get(method)
            if plan.wants(f"step_over_bare.{name}.{method}", *([share] if share else [])):
                yield from _step(plan, shape, name, method, share)
    for name, entry in (("small_cnn_64", "score_over_forward"), ("wrn_32", "score_over_forward.wrn_32")):
        if plan.wants(entry):
            yield entry, _score(plan, (QUICK if plan.quick else SHAPES)[name])


def _step(plan: Plan, shape: Shape, name: str, method: str, share: str | None) -> Iterator[tuple[str, Measured]]:
    config = settings(shape, *METHODS[method], *([f"method.ratio={shape.ratio}"] if method == "fixmatch" else []))
    works = {"ours": our_step(config, problem(shape)), "bare": bare_step(config, shape, method)}
    if share is not None:
        works["augmentation"] = augmentation(config, shape, method)
    times = in_turn(plan.rounds, works, plan.shortest)
    yield f"step_over_bare.{name}.{method}", ratio(times, "ours", "bare")
    if share is not None:
        yield share, ratio(times, "augmentation", "ours")


def our_step(config: Any, data: TrainingData, state: State | None = None) -> Work:
    """Build a function that computes one training step of semisup.

    For an offline method, the training first continues until the unlabeled set has been labeled.
    """
    events = train(data, config.settings, state or start(data, config.settings))
    by_rounds = "refresh_every" in config.config["method"]
    while by_rounds and not isinstance(next(events), PoolLabeled):
        pass

    def work() -> None:
        while not isinstance(next(events), StepEnd):
            pass

    return work


def bare_step(config: Any, shape: Shape, method: str, device: str = "cpu") -> Work:
    """Build a function that computes a minimal training step (the bare step) on a batch in memory."""
    data = problem(shape, device=device)
    state = start(data, config.settings)
    labeled, targets = resident(config, data.labeled.pixels[: shape.batch]), data.labeled.targets[: shape.batch]
    number = shape.ratio * shape.batch
    rows = torch.arange(number, device=data.device) % len(data.unlabeled)
    weak = resident(config, data.unlabeled.pixels[rows])
    both = resident(config, torch.cat((data.labeled.pixels[: shape.batch], data.unlabeled.pixels[rows])))
    state.student.train()

    def learn(loss: Tensor) -> None:
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.optimizer.step()

    def one_batch() -> None:
        learn(cross_entropy(state.student(labeled).float(), targets))

    def weak_and_strong() -> None:
        with torch.no_grad(), freeze_bn_stats(state.student):
            said = state.student(weak).float().argmax(dim=1)
        ours, strong = state.student(both).float().split((shape.batch, number))
        learn(cross_entropy(ours, targets) + cross_entropy(strong, said))

    return weak_and_strong if method == "fixmatch" else one_batch


def resident(config: Any, pixels: Tensor) -> Tensor:
    """Convert (n, C, S, S) uint8 pixels to float in [0, 1], in the memory layout of the run."""
    layout = torch.channels_last if config.settings.channels_last else torch.contiguous_format
    return to_float(pixels).contiguous(memory_format=layout)


def augmentation(config: Any, shape: Shape, method: str) -> Work:
    """Build a function that computes the augmented views of one step and nothing else."""
    data, chosen = problem(shape), config.settings
    labeled = data.labeled.pixels[: shape.batch]
    pool = data.unlabeled.pixels[torch.arange(shape.ratio * shape.batch) % len(data.unlabeled)]

    def views() -> None:
        chosen.augment.apply(labeled, torch_generator(0, "view"))

    def weak_and_strong() -> None:
        chosen.weak.apply(labeled, torch_generator(0, "view"))
        chosen.weak.apply(pool, torch_generator(0, "view"))
        chosen.augment.apply(pool, torch_generator(0, "view"))

    return weak_and_strong if method == "fixmatch" else views


def _score(plan: Plan, shape: Shape) -> Measured:
    """Measure the time of predicting uint8 images relative to the forward passes alone, on float images."""
    config = settings(shape, "method=supervised")
    data = problem(shape, 64 if plan.quick else 1024)
    model = start(data, config.settings).student.eval()
    parts = [resident(config, part) for part in data.unlabeled.pixels.split(config.settings.train.eval_batch_size)]

    def forward() -> None:
        with torch.no_grad():
            for part in parts:
                model(part)

    def score() -> None:
        for _ in iter_logits(model, data.unlabeled.pixels, config.settings.train.eval_batch_size):
            pass

    return ratio(in_turn(plan.rounds, {"ours": score, "bare": forward}, plan.shortest), "ours", "bare")
