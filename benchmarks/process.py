"""Configuration of the measuring process: the same as in a run, with one thread."""

import torch

from semisup.runtime.determinism import keep_freed_memory, use_deterministic_algorithms


def begin() -> None:
    torch.set_num_threads(1)
    use_deterministic_algorithms()
    keep_freed_memory()
