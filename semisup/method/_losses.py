"""Apply the options `loss` and `debias` to the losses and pseudo-labels of a training step.

In the method's memory, the names of their tensors start with `loss/` and `debias/`. With loss=cross_entropy and
debias=none there are no such tensors.
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
    """Compute the mean loss of labeled images, (); targets are (n,) classes or (n, K) probabilities."""
    return mean_cross_entropy(logits, targets, training.labeled_terms)


def labeled_cross_entropies(training: TrainingContext, logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the loss of each labeled image, (n,)."""
    return image_cross_entropy(logits, targets, training.labeled_terms)


def pseudo_label_cross_entropy(
    training: TrainingContext, memory: StateDict, logits: Tensor, targets: Tensor, weight: Tensor, count: int
) -> Tensor:
    """Compute `weighted_cross_entropy` of pseudo-labels, with the shifts of loss and debiasing added to the logits.

    Args:
        memory: memory after the selection of these pseudo-labels.
    """
    if changes_unlabeled(training.loss):
        logits = logits + training.loss.unlabeled_shift(training.labeled_counts, _part(LOSS, memory))
    if (margin := training.debias.margin(_part(DEBIAS, memory))) is not None:
        logits = logits + margin
    return weighted_cross_entropy(logits, targets, weight, count)


def debias_logits(
    training: TrainingContext, memory: StateDict, logits: Tensor, *, whole: bool = False
) -> tuple[Tensor, StateDict]:
    """Correct the logits of unlabeled images from which pseudo-labels are computed, and update the correction.

    Args:
        logits: (U, K), calibrated, without gradient.
        whole: whether these are all images of the unlabeled set. Then the correction is updated first.
    """
    debias = training.debias
    if not debias.corrects:
        return logits, memory
    part = _part(DEBIAS, memory)
    updated = debias.observe(logits, part, whole=whole)
    shift = debias.shift(updated if whole else part)
    return logits if shift is None else logits + shift, memory | _prefixed(DEBIAS, updated)


def debias_shift(training: TrainingContext, memory: StateDict) -> Tensor | None:
    """Compute the present shift of the logits of pseudo-labels, (K,); None = no shift."""
    return training.debias.shift(_part(DEBIAS, memory))


def observe_selection(
    training: TrainingContext, memory: StateDict, selection: PolicyOutput, *, whole: bool = False
) -> StateDict:
    """Update the memory of the option `loss` after a selection of pseudo-labels."""
    if not changes_unlabeled(training.loss):
        return memory
    return memory | _prefixed(LOSS, training.loss.observe(selection, _part(LOSS, memory), whole=whole))


def _part(prefix: str, memory: StateDict) -> StateDict:
    return {name.removeprefix(prefix): value for name, value in memory.items() if name.startswith(prefix)}


def _prefixed(prefix: str, memory: StateDict) -> StateDict:
    return {prefix + name: value for name, value in memory.items()}
