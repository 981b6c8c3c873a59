"""Evaluate a model on a set of images: loss, confusion matrix, calibration and threshold curve."""

import math
from collections.abc import Generator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from semisup.core.calibration import expected_calibration_error, fit_temperature, reliability
from semisup.core.device import sum_dtype
from semisup.core.events import Finished, MetricsRow
from semisup.core.inference import iter_logits, predict
from semisup.core.metrics import (
    accuracy_from_confusion,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
    recall_per_class,
)
from semisup.core.threshold_curve import summary_thresholds, threshold_curve
from semisup.core.types import Images, Predictions, Reliability, ThresholdCurve
from semisup.training.state import Best


class Evaluation(NamedTuple):
    """Predictions of a model for the n validation or test images of known class.

    loss: mean cross-entropy; NaN if n = 0
    confusion: (K, K) int64 on the CPU, number of images for each true class (row) and predicted class (column)
    logits: (n, K) float32, on the device
    targets: (n,) int64, true classes, on the device
    """

    loss: float
    confusion: Tensor
    logits: Tensor
    targets: Tensor

    @property
    def accuracy(self) -> float:
        return accuracy_from_confusion(self.confusion)

    @property
    def balanced_accuracy(self) -> float | None:
        return balanced_accuracy(self.confusion)

    @property
    def macro_f1(self) -> float | None:
        return macro_f1(self.confusion)

    @property
    def recall(self) -> list[float | None]:
        """Recall of each of the K classes, in [0, 1]; None for a class without images."""
        return recall_per_class(self.confusion)

    def reliability(self, temperature: float) -> Reliability:
        """Compute the reliability diagram of the predictions, with logits divided by `temperature`."""
        _, confidence, predicted = predict(self.logits / temperature)
        return reliability(confidence, predicted == self.targets)

    def what_if(self, temperature: float, shift: Tensor | None = None) -> ThresholdCurve:
        """Compute the threshold curve of the predictions: coverage and accuracy for each threshold on the confidence.

        Args:
            temperature: calibration temperature, by which the logits are divided.
            shift: (K,), values that debiasing adds to the logits; None = none.
        """
        logits = self.logits / temperature
        _, confidence, predicted = predict(logits if shift is None else logits + shift)
        return threshold_curve(confidence, predicted, self.targets)

    def probabilities(self) -> Tensor:
        """Compute the predicted class probabilities, (n, K) float32 on the CPU."""
        return predict(self.logits).probabilities.float().cpu()

    def predictions(self, images: Images) -> Predictions:
        """Collect path, true class, predicted class and confidence of each image of known class.

        Args:
            images: the images that were evaluated.
        """
        _, confidence, predicted = predict(self.logits)
        known = (images.targets >= 0).tolist()
        paths = [path for path, has_class in zip(images.paths, known, strict=True) if has_class]
        return Predictions(paths, self.targets.tolist(), predicted.tolist(), confidence.tolist())


def improves(metric: str, evaluation: Evaluation, best: Best | None) -> bool:
    """Whether an evaluation is better than the best one so far (None = there is none).

    Args:
        metric: the validation metric to compare (`train.select_by`); a lower `loss` is better.
    """
    sign = -1 if metric == "loss" else 1
    return best is None or bool(sign * getattr(evaluation, metric) > sign * getattr(best, metric))


def evaluate(model: nn.Module, images: Images, num_classes: int, batch_size: int) -> Generator[int, None, Evaluation]:
    """Evaluate a model on the validation or test images; images of unknown class (-1) are ignored.

    Yields:
        After each batch, the number of images evaluated so far.
    """
    device = images.pixels.device
    loss = torch.zeros((), dtype=sum_dtype(device), device=device)
    confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
    all_logits, done = torch.empty(len(images), num_classes, device=device), 0
    batches = iter_logits(model, images.pixels, batch_size)
    for logits, targets in zip(batches, images.targets.split(batch_size), strict=True):
        loss += cross_entropy(logits, targets, ignore_index=-1, reduction="sum")
        confusion += confusion_counts(targets, logits.argmax(dim=1), num_classes)
        all_logits[done : done + len(logits)] = logits
        done += len(logits)
        yield done
    count = int(confusion.sum())
    known = images.targets >= 0
    mean = float(loss) / count if count else math.nan
    return Evaluation(mean, confusion.cpu(), all_logits[known], images.targets[known])


def finished_event(
    end: tuple[int, int],
    summary: MetricsRow,
    splits: Mapping[str, tuple[Evaluation, Images]],
    *,
    calibrates: bool,
    shift: Tensor | None = None,
) -> Finished:
    """Build the last event of a run from the evaluations of its best model.

    Args:
        end: step and epoch at the end of the training.
        summary: values for summary.json, to which the results of the evaluations are added.
        splits: name of the split (`validation`, and `test` if there is a test set) -> its evaluation and images.
        calibrates: whether the threshold curve uses calibrated confidences.
        shift: (K,), values that debiasing adds to the logits for the threshold curve; None = none.
    """
    evaluations = {split: evaluation for split, (evaluation, _) in splits.items()}
    validation = evaluations["validation"]
    temperature = fit_temperature(validation.logits, validation.targets)
    what_if = validation.what_if(temperature if calibrates else 1.0, shift)
    bins = {split: (each.reliability(1.0), each.reliability(temperature)) for split, each in evaluations.items()}
    summary = summary | _calibration("best/val", *bins["validation"])
    summary |= {"best/temperature": temperature} | summary_thresholds(what_if)
    if test := evaluations.get("test"):
        summary |= {"test/accuracy": test.accuracy, "test/loss": test.loss}
        summary |= {"test/balanced_accuracy": test.balanced_accuracy, "test/macro_f1": test.macro_f1}
        summary |= _calibration("test", *bins["test"])
    confusion = {split: each.confusion.tolist() for split, each in evaluations.items()}
    recall = {split: each.recall for split, each in evaluations.items()}
    predictions = {split: each.predictions(images) for split, (each, images) in splits.items()}
    probabilities = {split: each.probabilities() for split, each in evaluations.items()}
    return Finished(*end, summary, confusion, bins, what_if, predictions, recall, probabilities)


def _calibration(name: str, before: Reliability, after: Reliability) -> MetricsRow:
    """Build the entries of summary.json about the expected calibration error (ECE).

    Args:
        name: prefix of the keys of the entries, such as `test`.
        before: reliability without temperature.
        after: reliability with the temperature that was fitted on the validation set.
    """
    return {
        f"{name}/ece": expected_calibration_error(before),
        f"{name}/ece_calibrated": expected_calibration_error(after),
    }
