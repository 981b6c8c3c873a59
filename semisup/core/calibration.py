"""Measure calibration (the gap between confidence and accuracy) and fit a temperature (arXiv 1706.04599).

    ECE = sum_b (|B_b| / n) * |accuracy(B_b) - confidence(B_b)|     over 15 bins of equal width, (b / 15, (b + 1) / 15]
    T   = argmin_T (1 / n) * sum_i -log softmax(z_i / T)[y_i]       z_i = logits, y_i = true class of image i

The mean loss is convex in 1 / T. Its minimum is found by Newton's method on the derivative; where this does not
converge fast, the search interval is halved. T is limited to [1/20, 20].
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from semisup.core.device import exact
from semisup.core.types import Reliability

BINS = 15
MIN_TEMPERATURE, MAX_TEMPERATURE = 1 / 20, 20.0
MAX_STEPS = 100  # 60 halvings exhaust float64; Newton's method needs about 6


def reliability(confidence: Tensor, correct: Tensor) -> Reliability:
    """Compute the reliability diagram: mean confidence and accuracy of n predictions in bins of confidence.

    Args:
        confidence: (n,) float in [0, 1].
        correct: (n,) bool.
    """
    number = (exact(confidence) * BINS).ceil().long().sub(1).clamp(0, BINS - 1)  # (n,)
    member = one_hot(number, BINS).double()  # (n, BINS)
    count = member.sum(dim=0)
    mean_confidence, accuracy = (
        (member * exact(values).unsqueeze(1)).sum(dim=0) / count.clamp(min=1) for values in (confidence, correct)
    )
    return Reliability(count.long().tolist(), mean_confidence.tolist(), accuracy.tolist())


def expected_calibration_error(bins: Reliability) -> float:
    """Compute the expected calibration error (ECE) in [0, 1] from a reliability diagram; NaN without predictions."""
    total = sum(bins.images)
    gaps = (
        count * abs(confidence - accuracy)
        for count, confidence, accuracy in zip(bins.images, bins.confidence, bins.accuracy, strict=True)
    )
    return sum(gaps) / total if total else float("nan")


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Find the temperature T that minimizes the mean cross-entropy of logits / T.

    Args:
        logits: (n, K) float.
        targets: (n,) int64 in [0, K).

    Returns:
        T in [1/20, 20]; 1 if there are no images, 1/20 if every image is classified correctly.
    """
    if len(logits) == 0:
        return 1.0
    logits = exact(logits.detach())
    margins = logits - logits.gather(
        1, targets.to(logits.device).unsqueeze(1)
    )  # the loss of an image is logsumexp(margins / T)

    def slope(beta: float) -> tuple[float, float]:
        """Compute the first and second derivative of the mean loss with respect to beta = 1 / T."""
        probabilities = (margins * beta).softmax(dim=1)
        mean = (probabilities * margins).sum(dim=1)
        variance = (probabilities * (margins - mean.unsqueeze(1)).square()).sum(dim=1)
        first, second = torch.stack((mean.mean(), variance.mean())).tolist()
        return first, second

    low, high, beta, last = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE, 1.0, float("inf")
    if slope(low)[0] >= 0:
        return MAX_TEMPERATURE
    if slope(high)[0] <= 0:
        return MIN_TEMPERATURE
    for _ in range(MAX_STEPS):
        first, second = slope(beta)
        low, high = (beta, high) if first < 0 else (low, beta)
        step = first / second if second > 0 else float("inf")
        if not (low <= beta - step <= high and abs(step) <= last / 2):
            step = beta - (low * high) ** 0.5
        if abs(step) <= 1e-14 * beta:
            break
        beta, last = beta - step, abs(step)
    return 1 / beta
