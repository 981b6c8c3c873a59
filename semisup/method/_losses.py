"""Apply the options `loss` and `debias` to the losses and pseudo-labels of a training step.

Each option has its own entries in the method's memory; their names start with `loss/` or `debias/`.
"""

from torch import Tensor

from semisup.core.losses import image_cross_entropy, mean_cross_entropy, weighted_cross_entropy
from semisup.core.types import PolicyOutput, StateDict
from semisup.loss import changes_unlabeled
from semisup.method._protocol import TrainingContext

LOSS, DEBIAS = "loss/", "debias/"


def initial_loss_memory(training: TrainingContext) -> StateDict:
    """Create the initial memory of the options `loss` and `debias`."""
    loss = training.loss.init(training.num_classes) if changes_unlabeled(training.loss) else {}
    return _prefixed(LOSS, loss) | _prefixed(DEBIAS, training.debias.init(training.num_classes))


def labeled_cross_entropy(training: TrainingContext, logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean loss of labeled images, () float.

    Args:
        logits: (n, K).
        targets: (n,) classes or (n, K) probabilities.
    """
    return mean_cross_entropy(logits, targets, training.labeled_terms)


def labeled_cross_entropies(training: TrainingContext, logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the loss of each labeled image, (n,)."""
    return image_cross_entropy(logits, targets, training.labeled_terms)


def pseudo_label_cross_entropy(
    training: TrainingContext, memory: StateDict, logits: Tensor, targets: Tensor, weight: Tensor, count: int
) -> Tensor:
    """Compute the weighted cross-entropy of pseudo-labels, as adjusted by the options `loss` and `debias`.

    Both options can add a value for each class to the logits before the cross-entropy is computed.

    Args:
        memory: the method's memory after the selection of these pseudo-labels.
        logits: (n, K).
        targets, weight, count: as in `weighted_cross_entropy`.
    """
    if changes_unlabeled(training.loss):
        logits = logits + training.loss.unlabeled_shift(training.labeled_counts, _part(LOSS, memory))
    if (margin := training.debias.margin(_part(DEBIAS, memory))) is not None:
        logits = logits + margin
    return weighted_cross_entropy(logits, targets, weight, count)


def debias_logits(
    training: TrainingContext, memory: StateDict, logits: Tensor, *, whole: bool = False
) -> tuple[Tensor, StateDict]:
    """Apply the option `debias` to the logits from which pseudo-labels are computed, and update its memory.

    Args:
        memory: the method's memory.
        logits: (U, K) calibrated logits of unlabeled images, without gradient.
        whole: True if these are all images of the unlabeled set: the memory is updated before the correction. False for
            a batch: it is updated after the correction.

    Returns:
        The corrected logits, and the new memory of the method.
    """
    debias = training.debias
    if not debias.corrects:
        return logits, memory
    part = _part(DEBIAS, memory)
    updated = debias.observe(logits, part, whole=whole)
    shift = debias.shift(updated if whole else part)
    return logits if shift is None else logits + shift, memory | _prefixed(DEBIAS, updated)


def debias_shift(training: TrainingContext, memory: StateDict) -> Tensor | None:
    """Return the values, (K,), that `debias` adds to the logits for pseudo-labels; None if it adds nothing."""
    return training.debias.shift(_part(DEBIAS, memory))


def observe_selection(
    training: TrainingContext, memory: StateDict, selection: PolicyOutput, *, whole: bool = False
) -> StateDict:
    """Update the entries of the option `loss` in the method's memory after a selection of pseudo-labels.

    Args:
        whole: True if the selection is from the whole unlabeled set; False for a batch.
    """
    if not changes_unlabeled(training.loss):
        return memory
    return memory | _prefixed(LOSS, training.loss.observe(selection, _part(LOSS, memory), whole=whole))


def _part(prefix: str, memory: StateDict) -> StateDict:
    return {name.removeprefix(prefix): value for name, value in memory.items() if name.startswith(prefix)}


def _prefixed(prefix: str, memory: StateDict) -> StateDict:
    return {prefix + name: value for name, value in memory.items()}
