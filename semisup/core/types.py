"""Types shared by all packages, and the letters used for dimensions.

K classes        N unlabeled images in the set      B labeled images in a batch
U unlabeled images in a batch (N, where the whole set is labeled at once)
C channels       S side of an image in pixels
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

SPLITS = ("labeled", "unlabeled", "validation", "test")
"""Names of the four parts (splits) of a data set."""

StateDict = dict[str, Tensor]
"""Name -> tensor: state that a method or a threshold policy accumulates during training."""


class Pixels(Protocol):
    """Interface of images, (n, C, S, S) uint8: a tensor, or an object that reads the images from disk when indexed."""

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
    """Interface of a set of images that can read images in the background before they are needed."""

    def ahead(self, index: Tensor) -> None:
        """Start to read the images at these indices in the background."""
        ...


@runtime_checkable
class Encoded(Protocol):
    """Interface of a set of images that are replaced by stored features of a frozen encoder.

    A batch of such images is not a tensor of pixels, but (U,) int64: their row indices in the table of features.
    """

    def plain(self, batch: Tensor, /) -> Tensor:
        """Return the stored features of the images in a batch, which were computed without augmentation."""
        ...


@dataclass(frozen=True)
class Images:
    """The images of one split (labeled, unlabeled, validation or test) of a data set.

    pixels: (n, C, S, S) uint8
    targets: (n,) int64 in [0, K); -1 if the class is unknown
    paths: n file names, relative to the root of the data set
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
    """Input of a threshold policy in addition to the pseudo-labels.

    progress: completed fraction of the training, in [0, 1]
    labeled: predictions for the labeled images of the batch, or of the whole set if the whole unlabeled set is labeled
        at once; None if the policy needs none
    epoch: number of completed epochs
    class_shares: (K,) float in [0, 1], fraction of the labeled images in each class; None = unknown
    """

    progress: float
    labeled: LabeledPredictions | None = None
    epoch: int = 0
    class_shares: Tensor | None = None


class PolicyOutput(NamedTuple):
    """Result of a threshold policy: the pseudo-labels to use and their weights.

    weight: (U,) float in [0, 1]; 0 = not selected
    targets: (U,) int64 in [0, K), the pseudo-labels; the model's predictions, unless the policy changes them to align
        the class distribution
    threshold: (K,) float, the minimum confidence for each class
    """

    weight: Tensor
    targets: Tensor
    threshold: Tensor


class ThresholdCurve(NamedTuple):
    """Coverage and accuracy of pseudo-labels for each of the thresholds in `threshold_curve.THRESHOLDS`.

    coverage: for each threshold, the fraction of selected images, in [0, 1]
    accuracy: for each threshold, the fraction of correct pseudo-labels among the selected images whose true class is
        known, in [0, 1]; None without such images
    """

    coverage: list[float]
    accuracy: list[float | None]


class ClassCounts(NamedTuple):
    """Counts of the pseudo-labels from one labeling of the unlabeled set. Each field has one number for each class.

    labeled: number of images with this class as pseudo-label
    kept: number of these images that are selected (weight > 0)
    known: number of selected images whose true class is known
    right: number of selected images whose true class is known and equals the pseudo-label
    threshold: the minimum confidence
    """

    labeled: list[int]
    kept: list[int]
    known: list[int]
    right: list[int]
    threshold: list[float]


class Reliability(NamedTuple):
    """Reliability diagram: statistics of predictions in bins of confidence. Each field has one number for each bin.

    images: number of images in the bin
    confidence: mean confidence in the bin; 0 in an empty bin
    accuracy: fraction of correct predictions in the bin; 0 in an empty bin
    """

    images: list[int]
    confidence: list[float]
    accuracy: list[float]
