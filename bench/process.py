"""How the measuring process computes: as a run of ours does, with one thread."""

import torch


def begin() -> None:
    torch.set_num_threads(1)
    try:
        from semisup.process import compute_repeatably, keep_memory
    except ImportError:  # an earlier version, measured for comparison
        torch.use_deterministic_algorithms(True)
    else:
        compute_repeatably()
        keep_memory()
