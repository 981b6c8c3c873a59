"""Measure the memory per image in bytes: pixels, path, class and everything else."""

import gc
import tracemalloc
from collections.abc import Iterator

from benchmarks.clock import Measured, Plan, single
from benchmarks.inputs import SHAPES, photographs
from benchmarks.tutorial_comparison import config, read

NAME = "memory.per_image_bytes"


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    """Measure the memory per image of a data set of 64-pixel images that was read from the cache.

    The pixels of such an image take 12,288 bytes.
    """
    if not plan.wants(NAME):
        return
    number = 200 if plan.quick else 1000
    with photographs(number) as root:
        dataset = config(root, SHAPES["cnn_224"]._replace(size=64)).dataset
        read(dataset)
        tracemalloc.start()
        data = read(dataset)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        count = sum(len(part) for part in (data.labeled, data.unlabeled, data.validation, data.test))
    yield NAME, single([held / count])
