"""Measure the time of the published FixMatch step (`reference_step.py`) relative to the step of semisup.

A step has 16 labeled and 112 unlabeled images of 32 pixels. Both programs have the same model (WRN-28-2), SGD with
Nesterov momentum and weight decay, average of the weights, RandAugment with CutOut, and one thread. Both augment
images in the process that trains. The entries differ in the settings of semisup:

    equal                 float32, one pass of [labeled, weak, strong] (`method.skip_rejected=false`): the same
                          computation. Differences: memory layout, augmentation of whole batches, fused optimizer
                          and average
    equal_bfloat16        as `equal` in bfloat16 (`precision=bfloat16`); the published step remains in float32
    default               the defaults on this machine, including `precision` and `method.skip_rejected`; all strong
                          views are selected, which is the most work
    default_half_kept     as `default`, but half of the strong views are selected (`threshold=quantile`,
                          `threshold.q=0.5 threshold.momentum=0`)
    default_float32, default_float32_half_kept, default_bfloat16, default_bfloat16_half_kept
                          as `default` and `default_half_kept`, with semisup in the precision of the name
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.clock import Measured, Plan, Work, in_turn, ratio
from benchmarks.inputs import CLASSES, QUICK, SHAPES, Shape, problem, settings
from benchmarks.reference_step import ReferenceStep
from benchmarks.steps import our_step

PREFIX = "peer_step_over_ours.wrn_32_fixmatch"
WHOLE = "method.skip_rejected=false"
ALL, HALF = ("threshold.tau=0",), ("threshold=quantile", "threshold.q=0.5", "threshold.momentum=0")
OURS = {
    "equal": (WHOLE, "precision=float32", *ALL),
    "equal_bfloat16": (WHOLE, "precision=bfloat16", *ALL),
    "default": ALL,
    "default_half_kept": HALF,
    "default_float32": ("precision=float32", *ALL),
    "default_float32_half_kept": ("precision=float32", *HALF),
    "default_bfloat16": ("precision=bfloat16", *ALL),
    "default_bfloat16_half_kept": ("precision=bfloat16", *HALF),
}


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    wanted = {name: words for name, words in OURS.items() if plan.wants(f"{PREFIX}.{name}")}
    if not wanted:
        return
    shape = (QUICK if plan.quick else SHAPES)["wrn_32"]
    works: dict[str, Work] = {"peer": reference(shape)}
    works |= {name: our_step(fixmatch(shape, *words), problem(shape)) for name, words in wanted.items()}
    times = in_turn(plan.rounds, works, plan.shortest)
    for name in wanted:
        yield f"{PREFIX}.{name}", ratio(times, "peer", name)


def fixmatch(shape: Shape, *words: str) -> Any:
    recipe = ("optimizer=sgd", "train.ema_decay=0.999", f"method.ratio={shape.ratio}")
    return settings(shape, "method=fixmatch", "augment=randaugment", *recipe, *words)


def reference(shape: Shape) -> ReferenceStep:
    """Build the published FixMatch step, with a model of the same structure as in semisup."""
    data = problem(shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = fixmatch(shape).settings.model.build(3, CLASSES, shape.size)
    labeled, pool = (part.pixels.permute(0, 2, 3, 1).numpy() for part in (data.labeled, data.unlabeled))
    average = copy.deepcopy(model)
    return ReferenceStep(model, average, labeled, data.labeled.targets, pool, shape.batch, shape.ratio, tau=0.0)
