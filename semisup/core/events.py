"""Events that the training loop yields, such as the end of an evaluation.

The caller of the training loop can log them, display them, or save the training state.
"""

from dataclasses import dataclass, field

from torch import Tensor

from semisup.core.types import ClassCounts, PolicyOutput, Predictions, PseudoLabels, Reliability, ThresholdCurve

MetricsRow = dict[str, float | int | None]
"""One line of metrics.jsonl: `step`, `epoch`, and names such as `val/accuracy`."""


@dataclass(frozen=True)
class Event:
    """Base class of all events; an event is a point in the training.

    step: number of optimizer updates so far
    epoch: number of completed passes over the labeled set
    """

    step: int
    epoch: int

    def row(self) -> MetricsRow | None:
        """Return the metrics of the event as a row for metrics.jsonl; None if the event has no metrics."""
        return None


@dataclass(frozen=True)
class Progress(Event):
    """Progress of an evaluation, or of a labeling of the unlabeled set.

    phase: name of the operation, for display
    done: number of images processed so far
    total: number of all images
    """

    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class StepEnd(Event):
    """The end of an optimizer update. The state of the training can be saved here and resumed later."""


@dataclass(frozen=True)
class EvalEnd(Event):
    """The end of an evaluation on the validation set.

    metrics: name in metrics.jsonl -> value
    improved: whether the metric that selects the best model (`train.select_by`) is better than ever before
    what_if: coverage and accuracy of the predictions on the validation images for many confidence thresholds; None if
        the method does not label images by predictions of the model, or if there are no validation images
    """

    metrics: dict[str, float | int | None]
    improved: bool
    what_if: ThresholdCurve | None = None

    def row(self) -> MetricsRow:
        return {"step": self.step, "epoch": self.epoch, **self.metrics}


@dataclass(frozen=True)
class BurnInEnd(Event):
    """The end of the first part of a training, before any pseudo-label is used; it occurs once.

    It occurs with methods that label the whole unlabeled set from time to time (offline pseudo-labeling). Up to this
    event, trainings that differ only in the threshold policy are identical. The state of the training can be saved here
    and resumed later.
    """


@dataclass(frozen=True)
class PoolLabeled(Event):
    """The end of a labeling of the unlabeled set.

    round: index of the labeling, counted from 1
    labels: pseudo-labels computed by the model, on the CPU, in the order of the unlabeled set
    selection: weights and final pseudo-labels from the threshold policy, in the same order; target -1 = no pseudo-label
    metrics: name in metrics.jsonl -> value
    classes: counts of the pseudo-labels of each class
    what_if: coverage and accuracy of the pseudo-labels for many confidence thresholds
    scores: (N,) float32 on the CPU, score of each unlabeled image; images with a low score are rejected, as if they
        belonged to none of the classes; None with `reject=none`
    """

    round: int
    labels: PseudoLabels
    selection: PolicyOutput
    metrics: dict[str, float | int | None]
    classes: ClassCounts
    what_if: ThresholdCurve
    scores: Tensor | None = None

    def row(self) -> MetricsRow:
        return {"step": self.step, "epoch": self.epoch, **self.metrics}


@dataclass(frozen=True)
class EpochEnd(Event):
    """The end of an epoch, after its evaluation and labeling.

    The state of the training can be saved here and resumed later.
    """


@dataclass(frozen=True)
class Finished(Event):
    """The end of training, with the results of the model with the best value of the metric `train.select_by`.

    summary: name -> metric, as in summary.json
    confusion: split -> K rows (true class) of K counts (predicted class)
    reliability: split -> two reliability diagrams: of the model, and of the model with logits divided by the
        temperature that was fitted to the validation set
    what_if: coverage and accuracy of the predictions on the validation images for many confidence thresholds
    predictions: split -> predictions for each image
    recall: split -> recall of each of the K classes, in the order of the classes; None for a class without images
    probabilities: split -> (n, K) float32 on the CPU, in the order of `predictions`; ignored by ==
    labeled_features: (L, D) float32 on the CPU, features of the labeled images, if the option `reject` compares images
        with them; ignored by ==
    """

    summary: dict[str, float | int | None]
    confusion: dict[str, list[list[int]]] = field(default_factory=dict)
    reliability: dict[str, tuple[Reliability, Reliability]] = field(default_factory=dict)
    what_if: ThresholdCurve | None = None
    predictions: dict[str, Predictions] = field(default_factory=dict)
    recall: dict[str, list[float | None]] = field(default_factory=dict)
    probabilities: dict[str, Tensor] = field(default_factory=dict, compare=False)
    labeled_features: Tensor | None = field(default=None, compare=False)
