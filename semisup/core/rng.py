"""Every draw comes from a named stream: a function of the seed and of what the draw is for.

Adding a draw in one place changes no number elsewhere, and a run resumed at step k needs no
generator's state: stream(seed, "augment", "weak", k) is the same whoever asks, whenever.
"""

import hashlib

import numpy
import torch


def derive_seed(seed: int, *name: str | int) -> int:
    """A 63-bit number that depends on the seed and on every part of the name."""
    text = "/".join(f"{type(part).__name__}:{part}" for part in (seed, *name))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def torch_generator(seed: int, *name: str | int) -> torch.Generator:
    """A CPU generator for one purpose. Draw on the CPU and move the draw, so that every device sees the same."""
    return torch.Generator().manual_seed(derive_seed(seed, *name))


def seed_global(seed: int) -> None:
    """What dropout, stochastic depth and first weights draw from, on every device; as `torch.manual_seed`, which
    besides formats a traceback at each call where there is CUDA and it was not started (2 to 5 % of a small step)."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def numpy_generator(seed: int, *name: str | int) -> numpy.random.Generator:
    """The same for numpy, where data are split before torch is needed."""
    return numpy.random.Generator(numpy.random.Philox(derive_seed(seed, *name)))
