"""Named random streams: every random number depends only on the seed and on the name of its stream.

A stream is named by its purpose and, if needed, the step, such as torch_generator(seed, "augment", "weak", step). So a
new stream changes the numbers of no other stream, and a resumed run needs no saved state of the generators.
"""

import hashlib

import numpy
import torch


def derive_seed(seed: int, *name: str | int) -> int:
    """Compute the 63-bit seed of a named random stream from the run's seed and the name."""
    text = "/".join(f"{type(part).__name__}:{part}" for part in (seed, *name))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_generator(seed: int, *name: str | int) -> torch.Generator:
    """Create the torch generator of a named random stream, on the CPU."""
    return torch.Generator().manual_seed(derive_seed(seed, *name))


def seed_global(seed: int) -> None:
    """Seed torch's global generators, which dropout, stochastic depth and weight initialization use."""
    # not `torch.manual_seed`: it formats a traceback at each call if CUDA is available and not initialized, which
    # takes 2 to 5 % of a small step
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def numpy_generator(seed: int, *name: str | int) -> numpy.random.Generator:
    """Create the numpy generator of a named random stream."""
    return numpy.random.Generator(numpy.random.Philox(derive_seed(seed, *name)))
