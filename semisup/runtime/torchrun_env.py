"""Read the environment variables that torchrun sets for its processes, without importing torch."""

import os


def world_size() -> int:
    """Return the number of processes that torchrun started for this run; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def local_world_size() -> int:
    """Return how many of the processes that torchrun started are on this machine; 1 without torchrun."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size() > 1 else 1


def is_rank_zero() -> bool:
    """Whether this process is rank 0 of torchrun's processes, the one that writes files and prints."""
    return world_size() == 1 or os.environ.get("RANK", "0") == "0"
