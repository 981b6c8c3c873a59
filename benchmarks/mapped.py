"""Measure a training step that reads its unlabeled images from the cache file (`dataset.memory_gb=0`).

The time is relative to the bare step of `steps.py`: forward and backward passes and update, with images in memory.
"""

from collections.abc import Iterator

from torch import Tensor

from benchmarks.clock import Measured, Plan, in_turn, ratio
from benchmarks.inputs import QUICK, SHAPES, photographs, settings
from benchmarks.steps import METHODS, bare_step, our_step
from benchmarks.tutorial_comparison import config, read
from semisup.runner import data as run_data

NAME = "memory.mapped_step_over_bare"


def measure(plan: Plan) -> Iterator[tuple[str, Measured]]:
    """Measure a FixMatch step with small_cnn at 64 pixels.

    Every step reads its unlabeled images from the cache file.
    """
    if not plan.wants(NAME):
        return
    shape = (QUICK if plan.quick else SHAPES)["small_cnn_64"]
    words = (*METHODS["fixmatch"], f"method.ratio={shape.ratio}")
    with photographs(250 if plan.quick else 1000) as root:
        chosen = config(root, shape, *words, "dataset.memory_gb=0", f"train.batch_size={shape.batch}")
        data = run_data.build_problem(chosen, read(chosen.dataset))
        assert not isinstance(data.unlabeled.pixels, Tensor), "the pool is in memory"
        works = {"ours": our_step(chosen, data), "bare": bare_step(settings(shape, *words), shape, "fixmatch")}
        yield NAME, ratio(in_turn(plan.rounds, works, plan.shortest), "ours", "bare")
