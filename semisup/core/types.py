"""One legend of letters, and the few values that travel between rooms.

K classes        N unlabeled images in the set      B labeled images in a batch
U unlabeled images in a batch (or the whole pool, when labels are made by rounds)
C channels       S side of an image in pixels
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

SPLITS = ("labeled", "unlabeled", "validation", "test")
"""The four parts of a data set."""

StateDict = dict[str, Tensor]
"""What was learned, as named tensors: saved and restored by one piece of code for all."""


class Pixels(Protocol):
    """(n, C, S, S) uint8 images: a tensor, or what is asked in the same way and read from where it lies."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...

    def split(self, size: int, /) -> Iterable[Tensor]: ...

    def to(self, device: torch.device, /) -> "Pixels": ...


@runtime_checkable
class Prefetchable(Protocol):
    """Pixels for which it is worth knowing what will be asked for next."""

    def ahead(self, index: Tensor) -> None: ...


@dataclass(frozen=True)
class Images:
    """One part of a data set, resident where the device can reach it, or read from where it lies.

    pixels: (n, C, S, S) uint8
    targets: (n,) int64 in [0, K); -1 where the class is not known
    paths: n names, relative to the data set's root; what a record calls an image
    """

    pixels: Pixels
    targets: Tensor
    paths: list[str]

    def __len__(self) -> int:
        return len(self.paths)

    def to(self, device: torch.device) -> "Images":
        return Images(self.pixels.to(device), self.targets.to(device), self.paths)


class PseudoLabels(NamedTuple):
    """What the labeler says of U unlabeled images.

    probabilities: (U, K) float in [0, 1], rows sum to 1
    confidence: (U,) float in [0, 1], the largest probability
    targets: (U,) int64 in [0, K), its class: the pseudo-label
    """

    probabilities: Tensor
    confidence: Tensor
    targets: Tensor


class LabeledPredictions(NamedTuple):
    """What the model says of labeled images, whose classes are known.

    probabilities: (B, K) float in [0, 1], rows sum to 1
    targets: (B,) int64 in [0, K), the true classes
    """

    probabilities: Tensor
    targets: Tensor


class Predictions(NamedTuple):
    """What a model says of n images of known class.

    paths: n names
    targets, predicted: n numbers in [0, K), the true class and the surest one
    confidence: n numbers in [0, 1], the probability of that one
    """

    paths: list[str]
    targets: list[int]
    predicted: list[int]
    confidence: list[float]


class PolicyContext(NamedTuple):
    """What a threshold policy may know besides the labels that it weighs.

    progress: share of the training that is done, in [0, 1]
    labeled: of the labeled batch (at every step) or the labeled set (by rounds); None unless the policy asks for it
    epoch: epochs completed before this step or labeling
    """

    progress: float
    labeled: LabeledPredictions | None = None
    epoch: int = 0


class PolicyOutput(NamedTuple):
    """What a threshold policy makes of Labels.

    weight: (U,) float in [0, 1]; 0 = not used
    targets: (U,) int64 in [0, K), the pseudo-labels to use: the labeler's, unless the policy aligns distributions
    threshold: (K,) float, what confidence had to reach for each class
    """

    weight: Tensor
    targets: Tensor
    threshold: Tensor


class ThresholdCurve(NamedTuple):
    """What every threshold of `what_if.TAUS` would keep of some images.

    coverage: T numbers in [0, 1], the share of the images that is kept
    accuracy: T numbers in [0, 1], the share of the kept that is right; None where no kept image's class is known
    """

    coverage: list[float]
    accuracy: list[float | None]


class ClassCounts(NamedTuple):
    """What became of one labeling of the pool, pseudo-class by pseudo-class: K numbers each.

    labeled: images with this pseudo-label
    kept: those of them with weight > 0
    known, right: of the kept, those whose true class is known, and those that have it
    threshold: what confidence had to reach
    """

    labeled: list[int]
    kept: list[int]
    known: list[int]
    right: list[int]
    threshold: list[float]


class Reliability(NamedTuple):
    """Predictions in bins of equal width by confidence, `calibration.BINS` numbers each.

    images: how many are in the bin
    confidence, accuracy: their means; 0 where there are none
    """

    images: list[int]
    confidence: list[float]
    accuracy: list[float]
