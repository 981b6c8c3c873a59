"""What torchrun says, in the environment, to the processes that it starts; needs no torch."""

import os


def world_size() -> int:
    """How many processes torchrun started for this training; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def local_world_size() -> int:
    """How many of those that torchrun started are here."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size() > 1 else 1


def is_rank_zero() -> bool:
    """Whether this is the process that writes, shows and decides."""
    return world_size() == 1 or os.environ.get("RANK", "0") == "0"
