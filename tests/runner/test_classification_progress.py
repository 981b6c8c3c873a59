"""Progress of `semisup predict`: images count as soon as they are classified, and the remaining time is announced."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import pytest
import torch
from torch import nn

from semisup.runner import classification_progress
from semisup.runner.classification_progress import ClassificationProgress

T = TypeVar("T")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class SlowEncoder(nn.Module):
    """An encoder that needs some seconds for each forward pass."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.clock.now += self.seconds
        return images


@pytest.mark.parametrize(("seconds", "announced"), [(1.5, [42.375]), (0.2, [])])
def test_images_count_after_each_forward_pass_of_the_encoder(
    seconds: float, announced: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(classification_progress, "time", clock)
    counts: list[int] = []

    def watch(items: Iterable[T], description: str, total: int, /) -> Iterator[T]:
        assert (description, total) == ("classifying", 500)
        for item in items:
            yield item
            counts.append(1)

    estimates: list[float] = []
    progress = ClassificationProgress(500, watch, estimates.append)
    encoder, after_each = SlowEncoder(clock, seconds), []
    for batch, unreadable in ((256, 10), (244, 0)):
        with progress.batch(batch), progress.count_parts(encoder, 16):
            for _ in torch.zeros(batch - unreadable, 1).split(16):
                encoder(torch.zeros(16, 1))
                after_each.append(len(counts))
    assert after_each[:3] == [16, 32, 48]
    assert after_each[15:17] == [256, 256 + 16]
    assert len(counts) == 500
    assert estimates == pytest.approx(announced)


def test_images_without_an_encoder_count_after_each_batch() -> None:
    counts: list[int] = []

    def watch(items: Iterable[T], _: str, total: int, /) -> Iterator[T]:
        for item in items:
            yield item
            counts.append(total)

    progress = ClassificationProgress(3, watch, lambda _: None)
    for number in (2, 1):
        with progress.batch(number), progress.count_parts(None, 0):
            pass
        assert len(counts) == {2: 2, 1: 3}[number]
