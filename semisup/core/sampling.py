"""Which images make up a step: a function of the seed and of where the step is, and of nothing else.

Nothing is remembered between two steps, so a run resumed in the middle of an epoch sees the same images.
"""

from functools import lru_cache

import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.core.rng import torch_generator
from semisup.core.types import Images


def num_batches(images: int, batch_size: int) -> int:
    """Batches in one pass over `images`, the last one possibly smaller."""
    return -(-images // batch_size)


def epoch_batch(seed: int, name: str, epoch: int, images: int, batch_size: int, position: int) -> Tensor:
    """(<= batch_size,) int64: batch `position` of epoch number `epoch` over `images`, each image once an epoch.

    A batch larger than the set is an epoch of its own and repeats the set: batch `epoch` of repeated passes.
    """
    if batch_size > images:
        return infinite_batch(seed, name, images, batch_size, epoch)
    return permutation(seed, name, epoch, images)[position * batch_size : (position + 1) * batch_size]


def infinite_batch(seed: int, name: str, images: int, batch_size: int, step: int) -> Tensor:
    """(batch_size,) int64: batch `step` of passes without end over `images`, each pass shuffled anew."""
    begin, end = step * batch_size, (step + 1) * batch_size
    passes = range(begin // images, (end - 1) // images + 1)
    parts = [
        permutation(seed, name, each, images)[max(begin - each * images, 0) : end - each * images] for each in passes
    ]
    return torch.cat(parts)


def gather_images(images: Images, index: Tensor) -> Tensor:
    """(U, C, S, S) uint8 on the device: the images of these (U,) numbers, which were drawn on the CPU."""
    if isinstance(images.pixels, Tensor):
        return images.pixels.index_select(0, to_device(index, images.pixels.device))  # whole images, not pixel by pixel
    return images.pixels[index]


@lru_cache(maxsize=4)  # of labeled and unlabeled, this pass and the next: 8 bytes an image each
def permutation(seed: int, name: str, epoch: int, images: int) -> Tensor:
    return torch.randperm(images, generator=torch_generator(seed, "order", name, epoch))
