"""Set up the process that runs a benchmark: the torch settings of a training run with one thread."""

import torch

from semisup.runtime.determinism import keep_freed_memory, use_deterministic_algorithms


def begin() -> None:
    torch.set_num_threads(1)
    use_deterministic_algorithms()
    keep_freed_memory()
