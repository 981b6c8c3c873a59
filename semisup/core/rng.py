"""Named random streams: every random number depends only on the seed and on the name of its stream.

The name says what the numbers are for. A new stream changes the numbers of no other stream, and a run that resumes at
step k needs no saved generator state: torch_generator(seed, "augment", "weak", k) does not depend on earlier steps.
"""

import hashlib

import numpy
import torch


def derive_seed(seed: int, *name: str | int) -> int:
    """Compute the 63-bit seed of a named random stream from the run's seed and the name."""
    text = "/".join(f"{type(part).__name__}:{part}" for part in (seed, *name))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_generator(seed: int, *name: str | int) -> torch.Generator:
    """Create the torch generator of a named random stream, on the CPU.

    Callers draw on the CPU and move the result to the device, so that all devices get the same numbers.
    """
    return torch.Generator().manual_seed(derive_seed(seed, *name))


def seed_global(seed: int) -> None:
    """Seed the global generators of all devices.

    Dropout, stochastic depth and weight initialization use these generators. `torch.manual_seed` has the same effect,
    but formats a traceback at each call if CUDA is available and not initialized, which takes 2 to 5 % of a small step.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def numpy_generator(seed: int, *name: str | int) -> numpy.random.Generator:
    """Create the numpy generator of a named random stream; data splits use it."""
    return numpy.random.Generator(numpy.random.Philox(derive_seed(seed, *name)))
