"""Functions that increase from 0 to 1, linearly or along a cosine, for weights that grow during the training."""

import math
from collections.abc import Callable

RAMP_SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda share: share,
    "cosine": lambda share: (1 - math.cos(math.pi * share)) / 2,
}
"""Shape -> function from the completed share of the ramp, in [0, 1], to the value."""
