"""How the measuring process computes: as a run of ours does, with one thread."""

import torch

from semisup.runtime.determinism import compute_repeatably, keep_memory


def begin() -> None:
    torch.set_num_threads(1)
    compute_repeatably()
    keep_memory()
