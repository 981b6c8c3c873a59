"""Report the progress of classifying many images: a progress bar, and once the estimated time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from semisup.images.cache import ProgressCallback

MEASURED_SECONDS = 2.0
"""Time after which the speed is known well enough for an estimate."""

SHORT_SECONDS = 10.0
"""Shorter times are not announced."""


class ClassificationProgress:
    """Count of the images that have been classified, for a progress bar and an estimate of the time.

    Args:
        total: number of images.
        watch: function that shows a progress bar, such as `Bars.watch`.
        announce: function that is called with the estimated number of remaining seconds: once, or never if less than
            SHORT_SECONDS remain.
    """

    def __init__(self, total: int, watch: ProgressCallback, announce: Callable[[float], None]) -> None:
        self._total, self._announce = total, announce
        self._done = self._batch_left = 0
        self._first: tuple[int, float] | None = None  # images and time at the first count
        self._announced = False
        self._bar = iter(watch(range(total), "classifying", total))
        next(self._bar, None)  # with each further item, the bar advances by one

    @contextmanager
    def batch(self, count: int) -> Iterator[None]:
        """Context manager for classifying a batch of `count` images; it advances the progress by `count`."""
        self._batch_left = count
        yield
        self._advance(self._batch_left)

    @contextmanager
    def count_parts(self, encoder: nn.Module | None, size: int) -> Iterator[None]:
        """Context manager: the progress advances after each forward pass of an encoder, not only after a batch.

        Args:
            encoder: network that computes features, which takes most of the time; None = the run has no encoder.
            size: largest number of images in a forward pass.
        """
        if encoder is None:
            yield
            return
        handle = encoder.register_forward_hook(lambda *_: self._advance(min(size, self._batch_left)))
        try:
            yield
        finally:
            handle.remove()

    def _advance(self, count: int) -> None:
        self._batch_left -= count
        self._done += count
        for _ in range(count):
            next(self._bar, None)
        now = time.monotonic()
        if self._first is None:
            self._first = self._done, now
        done, since = self._done - self._first[0], now - self._first[1]
        if done and since >= MEASURED_SECONDS and not self._announced:
            self._announced = True
            if (remaining := (self._total - self._done) * since / done) >= SHORT_SECONDS:
                self._announce(remaining)
