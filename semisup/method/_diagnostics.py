"""What a labeling of the pool is worth: the event that tells of it, for methods by rounds and at every step alike."""

from torch import Tensor

from semisup.core.events import PoolLabeled
from semisup.core.metrics import coverage, normalized_entropy, per_class, pseudo_accuracy
from semisup.core.threshold_curve import threshold_curve
from semisup.core.types import PolicyOutput, PseudoLabels
from semisup.method._protocol import Position, TrainingContext


def pool_labeled_event(
    training: TrainingContext, position: Position, round_: int, labels: PseudoLabels, selection: PolicyOutput
) -> PoolLabeled:
    """The event of one labeling of the pool. Hidden labels feed `pseudo/accuracy`, `known` and `right` of the classes
    and the accuracy of the curve, and nothing else.

    Args:
        labels: `confidence` and `targets` (N,) are read, `probabilities` are not; a target of -1 = the image was not
            looked at: it has no part in any of the numbers.
        selection: of the same N images; `threshold` (K,).
    """
    labels = PseudoLabels(*(each.cpu() for each in labels))
    selection = PolicyOutput(*(each.cpu() for each in selection))
    seen = labels.targets >= 0
    targets, weight, truth = selection.targets[seen], selection.weight[seen], training.hidden_targets[seen]
    metrics: dict[str, float | int | None] = {
        "pseudo/round": round_,
        "pseudo/coverage": coverage(weight),
        "pseudo/count": int((weight > 0).sum()),
        "pseudo/accuracy": pseudo_accuracy(targets, weight, truth),
        "pseudo/entropy": normalized_entropy(targets[weight > 0].bincount(minlength=training.num_classes)),
        "pseudo/threshold": _mean(selection.threshold),
        "pseudo/confidence": _mean(labels.confidence[seen]),
    }
    lowest, highest = float(selection.threshold.min()), float(selection.threshold.max())
    if lowest < highest:
        metrics |= {"pseudo/threshold_min": lowest, "pseudo/threshold_max": highest}
    classes = per_class(targets, weight, truth, selection.threshold)
    found = threshold_curve(labels.confidence, labels.targets, training.hidden_targets)
    return PoolLabeled(position.step, position.epoch, round_, labels, selection, metrics, classes, found)


def _mean(values: Tensor) -> float:
    return float(values.mean())
