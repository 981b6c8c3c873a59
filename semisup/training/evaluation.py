"""One pass over images of known class, and all that is said of it: loss, confusion, calibration, what-if."""

import math
from collections.abc import Generator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from semisup.core.calibration import reliability
from semisup.core.inference import iter_logits, predict
from semisup.core.metrics import accuracy_from_confusion, confusion_counts
from semisup.core.threshold_curve import threshold_curve
from semisup.core.types import Images, Predictions, Reliability, ThresholdCurve


class Evaluation(NamedTuple):
    """What a model says of n images of known class.

    loss: mean cross-entropy; NaN of none
    confusion: (K, K) int64 on the CPU, row = true class
    logits: (n, K) float32 and targets: (n,) int64, on the device
    """

    loss: float
    confusion: Tensor
    logits: Tensor
    targets: Tensor

    @property
    def accuracy(self) -> float:
        return accuracy_from_confusion(self.confusion)

    def reliability(self, temperature: float) -> Reliability:
        """Confidence and accuracy bin by bin, as if the labeler had divided the logits by `temperature`."""
        _, confidence, predicted = predict(self.logits / temperature)
        return reliability(confidence, predicted == self.targets)

    def what_if(self, temperature: float) -> ThresholdCurve:
        """What every threshold would keep of them."""
        _, confidence, predicted = predict(self.logits / temperature)
        return threshold_curve(confidence, predicted, self.targets)

    def predictions(self, images: Images) -> Predictions:
        """Image by image, of the images that were looked at."""
        _, confidence, predicted = predict(self.logits)
        known = (images.targets >= 0).tolist()
        paths = [path for path, counted in zip(images.paths, known, strict=True) if counted]
        return Predictions(paths, self.targets.tolist(), predicted.tolist(), confidence.tolist())


def evaluate(model: nn.Module, images: Images, num_classes: int, batch_size: int) -> Generator[int, None, Evaluation]:
    """Look once at every image; those of unknown class (-1) do not count. Waits for the device at the end alone.

    Yields, after each batch, how many images were looked at.
    """
    device = images.pixels.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
    found, done = torch.empty(len(images), num_classes, device=device), 0
    batches = iter_logits(model, images.pixels, batch_size)
    for logits, targets in zip(batches, images.targets.split(batch_size), strict=True):
        loss += cross_entropy(logits, targets, ignore_index=-1, reduction="sum")
        confusion += confusion_counts(targets, logits.argmax(dim=1), num_classes)
        found[done : done + len(logits)] = logits
        done += len(logits)
        yield done
    count = int(confusion.sum())
    known = images.targets >= 0
    mean = float(loss) / count if count else math.nan
    return Evaluation(mean, confusion.cpu(), found[known], images.targets[known])
