"""Build the event that reports pseudo-labels of the unlabeled set, for all methods."""

from torch import Tensor

from semisup.core.events import PoolLabeled
from semisup.core.metrics import auroc, coverage, normalized_entropy, per_class, pseudo_accuracy, share_of_class
from semisup.core.threshold_curve import threshold_curve
from semisup.core.types import PolicyOutput, PseudoLabels
from semisup.method._policy import Rejection
from semisup.method._protocol import Position, TrainingContext


def pool_labeled_event(
    training: TrainingContext,
    position: Position,
    round_: int,
    labels: PseudoLabels,
    selection: PolicyOutput,
    rejected: Rejection | None = None,
) -> PoolLabeled:
    """Build the event that reports one labeling of the unlabeled set.

    The accuracy of pseudo-labels is computed from the true classes (`training.hidden_targets`). An image that belongs
    to none of the classes has the true class K, so its pseudo-label is incorrect.

    Args:
        position: position of the labeling in the training.
        round_: number of this labeling in the run, from 1.
        labels: confidence (N,) and target (N,) of each pseudo-label; `probabilities` is not used. Images that were not
            labeled this time have the target -1 and are ignored.
        selection: the threshold policy's output for the same N images.
        rejected: scores and limit of the option `reject`, by which images are rejected; None with `reject=none`.
    """
    labels = PseudoLabels(*(values.cpu() for values in labels))
    selection = PolicyOutput(*(values.cpu() for values in selection))
    labeled = labels.targets >= 0
    targets, weight, truth = selection.targets[labeled], selection.weight[labeled], training.hidden_targets[labeled]
    metrics: dict[str, float | int | None] = {
        "pseudo/round": round_,
        "pseudo/coverage": coverage(weight),
        "pseudo/count": int((weight > 0).sum()),
        "pseudo/accuracy": pseudo_accuracy(targets, weight, truth),
        "pseudo/entropy": normalized_entropy(targets[weight > 0].bincount(minlength=training.num_classes)),
        "pseudo/threshold": _mean(selection.threshold),
        "pseudo/confidence": _mean(labels.confidence[labeled]),
    }
    lowest, highest = float(selection.threshold.min()), float(selection.threshold.max())
    if lowest < highest:
        metrics |= {"pseudo/threshold_min": lowest, "pseudo/threshold_max": highest}
    if bool((training.hidden_targets == training.num_classes).any()):
        metrics["pseudo/other"] = share_of_class(training.num_classes, weight, truth)
    if rejected is not None:
        score, known = rejected.score, training.hidden_targets >= 0
        metrics["pseudo/reject_limit"] = rejected.limit
        metrics["pseudo/rejected"] = _mean((score[labeled] < rejected.limit).float())
        metrics["pseudo/reject_auroc"] = auroc(score[known], training.hidden_targets[known] < training.num_classes)
    classes = per_class(targets, weight, truth, selection.threshold)
    curve = threshold_curve(labels.confidence, labels.targets, training.hidden_targets)
    scores = None if rejected is None else rejected.score
    return PoolLabeled(position.step, position.epoch, round_, labels, selection, metrics, classes, curve, scores)


def _mean(values: Tensor) -> float:
    return float(values.mean())
