"""Select the images of each training step as a function of the seed and the number of the step.

Therefore a run that resumes in the middle of an epoch gets the same images as an uninterrupted run.
"""

from functools import lru_cache

import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.core.rng import torch_generator
from semisup.core.types import Images


def num_batches(images: int, batch_size: int) -> int:
    """Compute the number of batches in one pass over `images` images; the last batch may be smaller."""
    return -(-images // batch_size)


def epoch_batch(seed: int, name: str, epoch: int, images: int, batch_size: int, position: int) -> Tensor:
    """Compute the image indices of one batch of an epoch.

    An epoch contains every image once, in random order. If `batch_size` exceeds the number of images, an epoch is one
    full batch instead, in which images are repeated.

    Args:
        seed, name: seed of the run and name of the random stream.
        epoch: index of the epoch, from 0.
        images: number of images.
        position: index of the batch in the epoch, from 0.

    Returns:
        (batch_size,) int64; the last batch may be smaller.
    """
    if batch_size > images:
        return infinite_batch(seed, name, images, batch_size, epoch)
    return permutation(seed, name, epoch, images)[position * batch_size : (position + 1) * batch_size]


def infinite_batch(seed: int, name: str, images: int, batch_size: int, step: int) -> Tensor:
    """Compute the image indices of one batch of an endless sequence of passes over the images.

    Each pass has its own random order. A batch can contain the end of one pass and the beginning of the next.

    Args:
        seed, name: seed of the run and name of the random stream.
        images: number of images.
        step: index of the batch, from 0.

    Returns:
        (batch_size,) int64.
    """
    begin, end = step * batch_size, (step + 1) * batch_size
    passes = range(begin // images, (end - 1) // images + 1)
    parts = [
        permutation(seed, name, epoch, images)[max(begin - epoch * images, 0) : end - epoch * images]
        for epoch in passes
    ]
    return torch.cat(parts)


def gather_images(images: Images, index: Tensor) -> Tensor:
    """Return the images at the given indices.

    Args:
        index: (U,) int64 on the CPU.

    Returns:
        (U, C, S, S) uint8 on the device of `images`.
    """
    if isinstance(images.pixels, Tensor):
        return images.pixels.index_select(0, to_device(index, images.pixels.device))  # copies whole images
    return images.pixels[index]


@lru_cache(maxsize=4)  # labeled and unlabeled set, this pass and the next: 8 bytes per image each
def permutation(seed: int, name: str, epoch: int, images: int) -> Tensor:
    """Compute the random order of the images in an epoch.

    Args:
        seed, name: seed of the run and name of the random stream.
        epoch: index of the epoch, from 0.
        images: number of images.

    Returns:
        (images,) int64, a permutation of the image indices.
    """
    return torch.randperm(images, generator=torch_generator(seed, "order", name, epoch))
