"""Events that the training loop yields; the caller writes, draws or ignores them.

The class of an event is its kind. `row()` returns the metrics of an event for the log.
"""

from dataclasses import dataclass, field

from torch import Tensor

from semisup.core.types import ClassCounts, PolicyOutput, Predictions, PseudoLabels, Reliability, ThresholdCurve

MetricsRow = dict[str, float | int | None]
"""One line of metrics.jsonl: `step`, `epoch`, and names such as `val/accuracy`."""


@dataclass(frozen=True)
class Event:
    """A point in the training.

    step: optimizer updates done so far
    epoch: completed passes over the labeled set
    """

    step: int
    epoch: int

    def row(self) -> MetricsRow | None:
        """Return the metrics for the log, or None."""
        return None


@dataclass(frozen=True)
class Progress(Event):
    """Progress of a long operation. Training can be stopped here, by closing the generator, and its state saved.

    phase: name of the operation
    done, total: images
    """

    phase: str
    done: int
    total: int


@dataclass(frozen=True)
class StepEnd(Event):
    """The end of an optimizer update. The state is consistent and can be saved."""


@dataclass(frozen=True)
class EvalEnd(Event):
    """The end of an evaluation on the validation set.

    improved: whether the validation metric of `train.select_by` is better than all earlier ones
    what_if: threshold curve of the validation images; None unless the model gives the pseudo-labels
    """

    metrics: dict[str, float | int | None]
    improved: bool
    what_if: ThresholdCurve | None = None

    def row(self) -> MetricsRow:
        return {"step": self.step, "epoch": self.epoch, **self.metrics}


@dataclass(frozen=True)
class BurnInEnd(Event):
    """The end of the part of training that no threshold policy can affect: the unlabeled set is about to be labeled for
    the first time, or training ends before that. Yielded once, by offline methods. The state is consistent."""


@dataclass(frozen=True)
class PoolLabeled(Event):
    """The end of a labeling of the unlabeled set. Images whose target is -1 were not labeled in this round.

    round: 1, 2, ... in this run
    labels, selection: of the unlabeled set, in its order, on the CPU
    classes: counts per class
    what_if: threshold curve of the unlabeled set
    """

    round: int
    labels: PseudoLabels
    selection: PolicyOutput
    metrics: dict[str, float | int | None]
    classes: ClassCounts
    what_if: ThresholdCurve

    def row(self) -> MetricsRow:
        return {"step": self.step, "epoch": self.epoch, **self.metrics}


@dataclass(frozen=True)
class EpochEnd(Event):
    """The end of an epoch, including evaluation and labeling. The state is consistent."""


@dataclass(frozen=True)
class Finished(Event):
    """The end of training, with the results of the model of the best validation metric (`train.select_by`).

    summary: metrics by name, as in summary.json
    confusion: split -> K rows (true class) of K counts (predicted class)
    reliability: split -> bins of the uncalibrated model, and with logits divided by `best/temperature`
    what_if: threshold curve of the validation images
    predictions: split -> predictions for each image
    recall: split -> recall of each of K classes, in their order; None for a class without images
    probabilities: split -> (n, K) float32 on the CPU, in the order of `predictions`; not compared by ==
    """

    summary: dict[str, float | int | None]
    confusion: dict[str, list[list[int]]] = field(default_factory=dict)
    reliability: dict[str, tuple[Reliability, Reliability]] = field(default_factory=dict)
    what_if: ThresholdCurve | None = None
    predictions: dict[str, Predictions] = field(default_factory=dict)
    recall: dict[str, list[float | None]] = field(default_factory=dict)
    probabilities: dict[str, Tensor] = field(default_factory=dict, compare=False)
