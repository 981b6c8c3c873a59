"""What a training says while it runs. The trainer yields these; the caller writes, draws or ignores them.

An event's kind is its class. Those with numbers for the log give them by `row()`.
"""

from dataclasses import dataclass, field

from semisup.core.types import ClassCounts, PolicyOutput, Predictions, PseudoLabels, Reliability, ThresholdCurve

MetricsRow = dict[str, float | int | None]
"""One line of metrics.jsonl: `step`, `epoch`, and names such as `val/accuracy`."""


@dataclass(frozen=True)
class Event:
    """Where in the training it happened.

    step: optimizer updates done so far
    epoch: passes over the labeled set completed so far (the running one not counted)
    """

    step: int
    epoch: int

    def row(self) -> MetricsRow | None:
        """The numbers for the log, or None."""
        return None


@dataclass(frozen=True)
class Progress(Event):
    """Something long goes on: for a progress bar; and a place to stop at, by closing the training, and then to save."""

    doing: str
    done: int
    total: int


@dataclass(frozen=True)
class StepEnd(Event):
    """One optimizer update. The state is whole: a good place to stop or to save it."""


@dataclass(frozen=True)
class EvalEnd(Event):
    """The validation set was looked at.

    improved: the best validation accuracy so far, strictly
    what_if: what every threshold would keep of the validation images; None where no threshold can matter
    """

    metrics: dict[str, float | int | None]
    improved: bool
    what_if: ThresholdCurve | None = None

    def row(self) -> MetricsRow:
        return {"step": self.step, "epoch": self.epoch, **self.metrics}


@dataclass(frozen=True)
class BurnInEnd(Event):
    """All is done that no threshold policy can have changed: the pool is about to be labeled for the first time, or
    the training is over without. The state is whole; comes once, in a method by rounds."""


@dataclass(frozen=True)
class PoolLabeled(Event):
    """The unlabeled images got pseudo-labels and weights; those whose target is -1 got none this time.

    round: 1, 2, ... in this run
    labels, selection: of the whole pool, on the CPU, in the order of the unlabeled set
    classes: what became of each class
    what_if: what every threshold would keep of the pool
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
    """All of an epoch is done, evaluation and labeling included. The state is whole."""


@dataclass(frozen=True)
class Finished(Event):
    """The end: what the chosen (best on validation) model does.

    summary: flat names and plain numbers, as in summary.json
    confusion: split -> K rows (true class) of K counts (predicted class)
    reliability: split -> as the model is, and with its logits divided by `best/temperature`
    what_if: what every threshold would keep of the validation images
    predictions: split -> image by image, from the pass that was counted
    """

    summary: dict[str, float | int | None]
    confusion: dict[str, list[list[int]]] = field(default_factory=dict)
    reliability: dict[str, tuple[Reliability, Reliability]] = field(default_factory=dict)
    what_if: ThresholdCurve | None = None
    predictions: dict[str, Predictions] = field(default_factory=dict)
