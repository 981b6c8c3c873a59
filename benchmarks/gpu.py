"""Benchmarks on a CUDA device: images per second, idle time, and the effect of bfloat16 and other options.

All except the encoding measure training steps of FixMatch with WRN-28-2 at 32 pixels, with 64 labeled and 448 unlabeled
images per step. `python -m benchmarks.gpu_day` runs these benchmarks within a limited time.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.clock import Measured, Plan, Times, Work, in_turn, ratio, single
from benchmarks.inputs import Shape, checked, images, problem, settings
from benchmarks.steps import bare_step, our_step
from semisup.core.types import Images
from semisup.features import EncodingJob, FeaturePack, PackRecipe, encode_missing, image_digests
from semisup.images.cache import no_progress
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


ENCODER = ("encoder=lite0", "model=linear")


def why_not() -> str | None:
    return None if torch.cuda.is_available() else "there is no CUDA device here"


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    if why_not() or not plan.wants("gpu"):
        return
    yield from measured(plan)


def measured(plan: Plan) -> Iterator[tuple[str, Measured]]:
    """Measure all GPU benchmark entries on the device `DEVICE`, the most important first.

    It is not checked that the device is a GPU. Each entry is measured when the caller requests it.
    """
    for part in PARTS.values():
        yield from part(plan)


def _config(kind: str) -> Any:
    return settings(SHAPE, *RECIPE, f"method.ratio={SHAPE.ratio}", f"device={DEVICE}", *KINDS[kind])


def _step(kind: str, data: TrainingData | None = None) -> Work:
    return _whole(our_step(_config(kind), problem(SHAPE, POOL, DEVICE) if data is None else data))


def _images_per_second(times: Times) -> Measured:
    return single([SHAPE.batch * (1 + SHAPE.ratio) / each for each in times.wall], seconds={"step": times.seconds})


def _idle_share(plan: Plan, work: Work) -> Measured:
    return single([idle_share(kernels(work)) for _ in range(plan.rounds)])


def _resident(plan: Plan) -> Iterator[tuple[str, Measured]]:
    works = {"bfloat16": _step("bfloat16"), "bare": _whole(bare_step(_config("bfloat16"), SHAPE, "fixmatch", DEVICE))}
    times = in_turn(plan.rounds, works, plan.shortest)
    yield "gpu.images_per_second.bfloat16", _images_per_second(times["bfloat16"])
    yield "gpu.step_over_bare.wrn_32.fixmatch", ratio(times, "bfloat16", "bare", own_work=False)
    yield "gpu.idle_share", _idle_share(plan, works["bfloat16"])


def _host(plan: Plan) -> Iterator[tuple[str, Measured]]:
    data = problem(SHAPE, POOL, DEVICE)
    works = {"bfloat16": _step("bfloat16", data), "host": _step("bfloat16", _in_host_memory(data))}
    yield (
        "gpu.host_over_resident",
        ratio(in_turn(plan.rounds, works, plan.shortest), "host", "bfloat16", own_work=False),
    )
    yield "gpu.idle_share.host", _idle_share(plan, works["host"])


def _float32(plan: Plan) -> Iterator[tuple[str, Measured]]:
    times = in_turn(plan.rounds, {kind: _step(kind) for kind in ("bfloat16", "float32")}, plan.shortest)
    yield "gpu.images_per_second.float32", _images_per_second(times["float32"])
    yield "gpu.bfloat16_over_float32", ratio(times, "bfloat16", "float32", own_work=False)


def _compiled(plan: Plan) -> Iterator[tuple[str, Measured]]:
    times = in_turn(plan.rounds, {kind: _step(kind) for kind in ("one_pass", "compiled")}, plan.shortest)
    yield "gpu.compiled_over_eager", ratio(times, "compiled", "one_pass", own_work=False)


def _encoding(plan: Plan) -> Iterator[tuple[str, Measured]]:
    """Measure how many new images are encoded per second, with the features stored in memory."""
    encoder: Any = checked(*ENCODER, f"device={DEVICE}").encoder
    network, numbers = encoder.build().to(DEVICE), itertools.count()
    pictures = images((1 if plan.quick else 8) * encoder.batch, encoder.input_size, 0)
    recipe = PackRecipe(encoder, None, (3, encoder.input_size, encoder.input_size), torch.device(DEVICE))

    def encode() -> None:
        pictures.pixels[:, 0, 0, 0] = next(numbers) % 256  # new images in each call: no stored features are reused
        job = EncodingJob(FeaturePack(None, recipe), [pictures], image_digests(pictures))
        encode_missing(lambda: network, job, no_progress)

    times = in_turn(plan.rounds, {"encode": encode}, plan.shortest)["encode"]
    rates = [len(pictures) / each for each in times.wall]
    yield "gpu.encoded_images_per_second", single(rates, seconds={"call": times.seconds})


PARTS: Mapping[str, Callable[[Plan], Iterator[tuple[str, Measured]]]] = {
    "resident": _resident,
    "host": _host,
    "float32": _float32,
    "compiled": _compiled,
    "encoding": _encoding,
}
"""Groups of entries that are measured together, the most important first."""


def _whole(step: Work) -> Work:
    """Wrap a step in a function that also waits until the device has finished the step."""

    def work() -> None:
        step()
        torch.cuda.synchronize()

    return work


def _in_host_memory(data: TrainingData) -> TrainingData:
    """Return the same data with the unlabeled images in host memory.

    The images of each step are then copied to the device, as for a data set that does not fit there.
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
    """Compute the share of the time in which the device executes no operation, in [0, 1].

    Args:
        spans: (begin, end) of each operation. The time is counted from the first begin to the last end.
    """
    spans = sorted(spans)
    busy, until = 0.0, spans[0][0]
    for begin, end in spans:
        busy += max(0.0, end - max(begin, until))
        until = max(until, end)
    return 1 - busy / (until - spans[0][0])
