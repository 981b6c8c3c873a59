"""Named random streams: every draw is a function of the seed and of the purpose of the draw.

Adding a draw in one place changes no other draw, and a run that resumes at step k needs no generator state:
torch_generator(seed, "augment", "weak", k) does not depend on earlier draws.
"""

import hashlib

import numpy
import torch


def derive_seed(seed: int, *name: str | int) -> int:
    """Derive a 63-bit seed from the seed and every part of the name."""
    text = "/".join(f"{type(part).__name__}:{part}" for part in (seed, *name))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_generator(seed: int, *name: str | int) -> torch.Generator:
    """Return a CPU generator for one purpose. Draw on the CPU and move the result: every device gets the same."""
    return torch.Generator().manual_seed(derive_seed(seed, *name))


def seed_global(seed: int) -> None:
    """Seed the global generators of all devices, which dropout, stochastic depth and weight initialization draw from.

    As `torch.manual_seed`, which also formats a traceback at each call if CUDA is available and not initialized: 2 to
    5 % of a small step.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def numpy_generator(seed: int, *name: str | int) -> numpy.random.Generator:
    """Return a numpy generator for one purpose, for splits that are made before torch is imported."""
    return numpy.random.Generator(numpy.random.Philox(derive_seed(seed, *name)))
