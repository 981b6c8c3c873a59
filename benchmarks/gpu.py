"""Benchmarks on a CUDA device: images per second, idle time, location of the images, compilation, bfloat16.

All of them train WRN-28-2 at 32 pixels by FixMatch's recipe, with 64 labeled and 448 unlabeled images per step.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.clock import Measured, Plan, Work, in_turn, ratio, single
from benchmarks.inputs import Shape, problem, settings
from benchmarks.steps import bare_step, our_step
from semisup.core.types import Images
from semisup.images.on_disk import LazyImages
from semisup.training.state import TrainingData

DEVICE = "cuda"
SHAPE = Shape("wide_resnet", (), 32, 64, 7)
POOL = 50_000
RECIPE = ("method=fixmatch", "augment=randaugment", "threshold.tau=0", "optimizer=sgd", "train.ema_decay=0.999")
KINDS: Mapping[str, tuple[str, ...]] = {
    "float32": ("precision=float32",),
    "bfloat16": ("precision=bfloat16",),
    "one_pass": ("precision=bfloat16", "method.skip_rejected=false"),
    "compiled": ("precision=bfloat16", "method.skip_rejected=false", "compile=true"),  # one pass has a constant size
}


def why_not() -> str | None:
    return None if torch.cuda.is_available() else "there is no CUDA device here"


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    if why_not() or not plan.wants("gpu"):
        return
    yield from measured(plan)


def measured(plan: Plan) -> Iterator[tuple[str, Measured]]:
    """Measure all GPU benchmark entries on the device `DEVICE`, without checking that it is a GPU."""
    recipe = (*RECIPE, f"method.ratio={SHAPE.ratio}", f"device={DEVICE}")
    configs = {name: settings(SHAPE, *recipe, *words) for name, words in KINDS.items()}
    data = problem(SHAPE, POOL, DEVICE)
    works = {name: _whole(our_step(each, data)) for name, each in configs.items()}
    works["bare"] = _whole(bare_step(configs["bfloat16"], SHAPE, "fixmatch", DEVICE))
    works["host"] = _whole(our_step(configs["bfloat16"], _in_host_memory(data)))
    times = in_turn(plan.rounds, works, plan.shortest)
    images = SHAPE.batch * (1 + SHAPE.ratio)
    for name in ("float32", "bfloat16"):
        yield f"gpu.images_per_second.{name}", single([images / each for each in times[name].wall])
    yield "gpu.step_over_bare.wrn_32.fixmatch", ratio(times, "bfloat16", "bare", own_work=False)
    yield "gpu.bfloat16_over_float32", ratio(times, "bfloat16", "float32", own_work=False)
    yield "gpu.host_over_resident", ratio(times, "host", "bfloat16", own_work=False)
    yield "gpu.compiled_over_eager", ratio(times, "compiled", "one_pass", own_work=False)
    yield "gpu.idle_share", single([idle_share(kernels(works["bfloat16"])) for _ in range(plan.rounds)])


def _whole(step: Work) -> Work:
    """Wrap a step, so that it waits until the device has finished it."""

    def work() -> None:
        step()
        torch.cuda.synchronize()

    return work


def _in_host_memory(data: TrainingData) -> TrainingData:
    """Return the same data with the unlabeled images in host memory.

    This simulates a data set that does not fit on the device: the images of each step are copied to the device.
    """
    pool = data.unlabeled.pixels.to(torch.device("cpu"))
    assert isinstance(pool, torch.Tensor)
    every = numpy.arange(len(pool))
    stored = LazyImages([pool.numpy()], numpy.zeros(len(pool), numpy.uint8), every, data.device)
    return replace(data, unlabeled=Images(stored, data.unlabeled.targets, data.unlabeled.paths))


def kernels(work: Work) -> list[tuple[float, float]]:
    """Profile ten steps and return the begin and end, in microseconds, of each operation of the device."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        for _ in range(10):
            work()
    on_it = [each for each in found.events() or [] if each.device_type == torch.autograd.DeviceType.CUDA]
    return [(each.time_range.start, each.time_range.end) for each in on_it if not each.is_user_annotation]


def idle_share(spans: Sequence[tuple[float, float]]) -> float:
    """Compute the idle share of the device, in [0, 1].

    Args:
        spans: (begin, end) of each operation. Time counts from the first begin to the last end.
    """
    spans = sorted(spans)
    busy, until = 0.0, spans[0][0]
    for begin, end in spans:
        busy += max(0.0, end - max(begin, until))
        until = max(until, end)
    return 1 - busy / (until - spans[0][0])
