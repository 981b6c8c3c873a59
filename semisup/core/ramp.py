"""Shapes of a value that moves from 0 to 1 during the training."""

import math
from collections.abc import Callable

RAMP_SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda share: share,
    "cosine": lambda share: (1 - math.cos(math.pi * share)) / 2,
}
"""Shape -> value, for a share of the ramp in [0, 1]."""
