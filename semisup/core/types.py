"""Types shared by all packages, and the letters used for dimensions.

K classes        N unlabeled images in the set      B labeled images in a batch
U unlabeled images in a batch (or N, in offline pseudo-labeling)
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
"""Learned state of a method or policy, as named tensors."""


class Pixels(Protocol):
    """(n, C, S, S) uint8 images: a tensor, or an object with the same methods that reads images from disk."""

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
    """Pixels that can be read in advance."""

    def ahead(self, index: Tensor) -> None:
        """Start to read the images at these indices."""
        ...


@runtime_checkable
class Encoded(Protocol):
    """Images of which a model sees stored features; a batch of them holds positions, (U,) int64."""

    def plain(self, batch: Tensor, /) -> Tensor:
        """Return the features of a batch without augmentation."""
        ...


@dataclass(frozen=True)
class Images:
    """One split of a dataset, in memory or read from disk.

    pixels: (n, C, S, S) uint8
    targets: (n,) int64 in [0, K); -1 if the class is unknown
    paths: n names, relative to the root of the dataset, as recorded in the files of a run
    """

    pixels: Pixels
    targets: Tensor
    paths: list[str]

    def __len__(self) -> int:
        return len(self.paths)

    def to(self, device: torch.device) -> "Images":
        return Images(self.pixels.to(device), self.targets.to(device), self.paths)


class PseudoLabels(NamedTuple):
    """Pseudo-labels of U unlabeled images.

    probabilities: (U, K) float in [0, 1], rows sum to 1
    confidence: (U,) float in [0, 1], the largest probability
    targets: (U,) int64 in [0, K), the class of the largest probability
    """

    probabilities: Tensor
    confidence: Tensor
    targets: Tensor


class LabeledPredictions(NamedTuple):
    """Predictions for B labeled images.

    probabilities: (B, K) float in [0, 1], rows sum to 1
    targets: (B,) int64 in [0, K), the true classes
    """

    probabilities: Tensor
    targets: Tensor


class Predictions(NamedTuple):
    """Predictions for n images of known class.

    paths: n names
    targets, predicted: n numbers in [0, K), the true and the predicted class
    confidence: n numbers in [0, 1], the probability of the predicted class
    """

    paths: list[str]
    targets: list[int]
    predicted: list[int]
    confidence: list[float]


class PolicyContext(NamedTuple):
    """Input of a threshold policy besides the pseudo-labels.

    progress: completed fraction of the training, in [0, 1]
    labeled: predictions for the labeled batch (online) or the labeled set (offline); None unless the policy uses them
    epoch: epochs completed before this step or labeling
    """

    progress: float
    labeled: LabeledPredictions | None = None
    epoch: int = 0


class PolicyOutput(NamedTuple):
    """Selection by a threshold policy.

    weight: (U,) float in [0, 1]; 0 = not selected
    targets: (U,) int64 in [0, K), the pseudo-labels to use; changed only by policies that align distributions
    threshold: (K,) float, the minimum confidence for each class
    """

    weight: Tensor
    targets: Tensor
    threshold: Tensor


class ThresholdCurve(NamedTuple):
    """Selection of n images by each of the T values of `threshold_curve.THRESHOLDS`.

    coverage: T numbers in [0, 1], the fraction of selected images
    accuracy: T numbers in [0, 1], the fraction of correct ones among them; None if the class of none is known
    """

    coverage: list[float]
    accuracy: list[float | None]


class ClassCounts(NamedTuple):
    """Counts of one labeling of the unlabeled set: K numbers each, by pseudo-label.

    labeled: images with this pseudo-label
    kept: selected images, with weight > 0
    known, right: selected images whose true class is known, and those whose pseudo-label is correct
    threshold: the minimum confidence
    """

    labeled: list[int]
    kept: list[int]
    known: list[int]
    right: list[int]
    threshold: list[float]


class Reliability(NamedTuple):
    """Predictions in bins of equal width by confidence, `calibration.BINS` numbers each.

    images: number of images in the bin
    confidence, accuracy: their means; 0 in an empty bin
    """

    images: list[int]
    confidence: list[float]
    accuracy: list[float]
