"""Compute and store the features of images that are not yet in a pack (a folder of feature files, see store.py).

The features of an image do not depend on the other images that are encoded, on their order, or on interruptions: each
view has its own random stream, and batches have a fixed size.
"""

import contextlib
import hashlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.core.inference import to_float
from semisup.core.rng import torch_generator
from semisup.core.sampling import gather_images
from semisup.core.types import Images
from semisup.encoder import BackboneNetwork, encode_batch
from semisup.errors import DataError
from semisup.features.recipe import PackRecipe
from semisup.features.store import FeaturePack
from semisup.images.cache import ProgressCallback

WAIT_SECONDS = 0.5
TIMED_BATCHES = 3  # the first of them also allocates memory and does not count


def image_digests(images: Images) -> list[bytes]:
    """Compute the sha256 of the pixels of each image, in order."""
    digests: list[bytes] = []
    for batch in images.pixels.split(256):
        planes = batch.cpu().contiguous().numpy()
        digests += [hashlib.sha256(memoryview(image).cast("B")).digest() for image in planes]
    return digests


@dataclass(frozen=True)
class EncodingJob:
    """Task of computing and storing the features of all images of a run.

    pack: where the features are stored
    splits: the images of each split
    digests: sha256 digest of the pixels of each image, in the order of the splits
    """

    pack: FeaturePack
    splits: Sequence[Images]
    digests: Sequence[bytes]

    def missing_views(self) -> int:
        """Count the feature vectors that are not stored yet."""
        return len(self.pack.missing(self.digests)) * self.pack.recipe.views

    def pixels(self, position: int) -> Tensor:
        """Return one image, (1, C, S, S) uint8.

        Args:
            position: index in the sequence of all images, one split after another.
        """
        for images in self.splits:
            if position < len(images):
                return gather_images(images, torch.tensor([position]))
            position -= len(images)
        raise IndexError(position)


def seconds_per_view(network: BackboneNetwork, job: EncodingJob) -> float:
    """Measure the time in seconds to compute one feature vector, on images whose features are not stored yet."""
    recipe, positions = job.pack.recipe, job.pack.missing(job.digests)
    batch, took = recipe.encoder.batch, []
    every = ((position, view) for position in positions for view in range(recipe.views))
    items = list(itertools.islice(every, TIMED_BATCHES * batch))
    with encoding_mode():
        for number in range(TIMED_BATCHES):
            some = items[number * batch : (number + 1) * batch]
            if not some or (number and len(some) < batch):  # a part of a batch takes as long as a full one
                break
            started = time.perf_counter()
            encode_batch(network, _views(job, some, recipe), batch).cpu()  # waits for the GPU
            took.append((time.perf_counter() - started) / len(some))
    return min(took[1:] or took)


def encode_missing(
    network: Callable[[], BackboneNetwork],
    job: EncodingJob,
    watch: ProgressCallback,
    announce: Callable[[], None] = lambda: None,
    announce_wait: Callable[[], None] = lambda: None,
) -> None:
    """Compute the features that a pack does not have yet, and write them to files of the pack.

    If another process encodes images for the same pack, wait for its features.

    Args:
        network: function that builds the encoder's network; called only if this process encodes.
        watch: shows progress.
        announce: function that is called before this process starts to encode.
        announce_wait: function that is called once, before this process waits for another process.

    Raises:
        DataError: the encoder computes features that are not finite.
    """
    pack, waits = job.pack, False
    while pack.missing(job.digests):
        with pack.lock() as alone:
            pack.refresh()  # of what was published before the lock was taken
            if alone and job.missing_views():
                announce()
                _encode(network(), job, watch)
            if alone:
                continue
        if not waits and pack.missing(job.digests):
            announce_wait()
            waits = True
        time.sleep(WAIT_SECONDS)
        pack.refresh()


def _encode(network: BackboneNetwork, job: EncodingJob, watch: ProgressCallback) -> None:
    pack, recipe = job.pack, job.pack.recipe
    left = pack.missing(job.digests)
    batches = -(-len(left) * recipe.views // recipe.encoder.batch)
    with encoding_mode():
        rows, positions = [], []  # of the next file
        encoded = _feature_rows(network, job, left, watch, batches)
        for position, row in zip(left, encoded, strict=True):
            rows.append(row)
            positions.append(position)
            if len(rows) >= pack.rows_of_next_file():
                _publish(pack, job, positions, rows)
                rows, positions = [], []
        if rows:
            _publish(pack, job, positions, rows)


def _publish(pack: FeaturePack, job: EncodingJob, positions: list[int], rows: list[Any]) -> None:
    pack.add([job.digests[position] for position in positions], numpy.stack(rows))


def _feature_rows(
    network: BackboneNetwork, job: EncodingJob, positions: list[int], watch: ProgressCallback, batches: int
) -> Iterator[Any]:
    """Compute and yield the features of each image, in order: (K, D) float16, where K is the number of views.

    Args:
        positions: indices of the images, as in `EncodingJob.pixels`.
        watch: shows progress.
        batches: number of batches, for the progress.
    """
    recipe = job.pack.recipe
    items = ((position, view) for position in positions for view in range(recipe.views))
    row: list[Any] = []
    for some in watch(_batched(items, recipe.encoder.batch), "encoding", batches):
        features = encode_batch(network, _views(job, some, recipe), recipe.encoder.batch).cpu()
        if not bool(torch.isfinite(features).all()):
            name = type(recipe.encoder).__name__
            raise DataError(f"the encoder ({name}) gives features that float16 cannot represent; use another encoder")
        for vector in features.numpy():
            row.append(vector)
            if len(row) == recipe.views:
                yield numpy.stack(row)
                row = []


def _batched(items: Iterator[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    while some := list(itertools.islice(items, size)):
        yield some


def _views(job: EncodingJob, items: Iterable[tuple[int, int]], recipe: PackRecipe) -> Tensor:
    """Build n augmented views of images as (n, C, S, S) float in [0, 1].

    Args:
        items: for each of the n views, the index of the image and the index of the view among those of this image.
    """
    views = []
    for position, view in items:
        pixels = to_device(job.pixels(position), recipe.device)
        views.append(_view(pixels, job.digests[position], view, recipe))
    return torch.cat(views)


def _view(pixels: Tensor, digest: bytes, view: int, recipe: PackRecipe) -> Tensor:
    if recipe.augment is None:
        return to_float(pixels)
    kind = type(recipe.augment).__name__
    generator = torch_generator(recipe.encoder.view_seed, "view", kind, digest.hex(), view)
    return recipe.augment.apply(pixels, generator)


@contextlib.contextmanager
def encoding_mode() -> Iterator[None]:
    """Context manager; images that are encoded in its body give bit-reproducible features.

    torch uses one CPU thread. On a GPU, TF32 and the choice of kernels by timing are off.
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    threads = torch.get_num_threads()
    flags = (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32)
    torch.set_num_threads(1)
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = False, True, False, False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32 = flags
