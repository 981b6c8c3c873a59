"""The images of each step, as a function of the seed and the position of the step.

There is no state between steps, so a run that resumes in the middle of an epoch draws the same images.
"""

from functools import lru_cache

import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.core.rng import torch_generator
from semisup.core.types import Images


def num_batches(images: int, batch_size: int) -> int:
    """Count the batches of one pass over `images`; the last one may be smaller."""
    return -(-images // batch_size)


def epoch_batch(seed: int, name: str, epoch: int, images: int, batch_size: int, position: int) -> Tensor:
    """Return the int64 indices of batch `position` of an epoch, which has each image once: (<= batch_size,).

    If `batch_size` exceeds the set, an epoch is one batch that repeats the set: batch `epoch` of endless passes.
    """
    if batch_size > images:
        return infinite_batch(seed, name, images, batch_size, epoch)
    return permutation(seed, name, epoch, images)[position * batch_size : (position + 1) * batch_size]


def infinite_batch(seed: int, name: str, images: int, batch_size: int, step: int) -> Tensor:
    """Return the (batch_size,) int64 indices of batch `step` of endless passes, each shuffled by itself."""
    begin, end = step * batch_size, (step + 1) * batch_size
    passes = range(begin // images, (end - 1) // images + 1)
    parts = [
        permutation(seed, name, epoch, images)[max(begin - epoch * images, 0) : end - epoch * images]
        for epoch in passes
    ]
    return torch.cat(parts)


def gather_images(images: Images, index: Tensor) -> Tensor:
    """Gather the (U, C, S, S) uint8 images at the (U,) indices, which are on the CPU, on the device."""
    if isinstance(images.pixels, Tensor):
        return images.pixels.index_select(0, to_device(index, images.pixels.device))  # copies whole images
    return images.pixels[index]


@lru_cache(maxsize=4)  # labeled and unlabeled set, this pass and the next: 8 bytes per image each
def permutation(seed: int, name: str, epoch: int, images: int) -> Tensor:
    """Return the (images,) int64 order of an epoch."""
    return torch.randperm(images, generator=torch_generator(seed, "order", name, epoch))
