"""How far confidence is from accuracy, and the temperature that brings it closer (arXiv 1706.04599).

    ECE = sum_b |B_b| / n  |accuracy(B_b) - confidence(B_b)|        over 15 bins of equal width, (b / 15, (b + 1) / 15]
    T   = argmin_T  1/n sum_i -log softmax(z_i / T)[y_i]            one number, which changes no prediction

The mean loss is convex in 1 / T; Newton's steps on its slope, inside a bracket that is halved where they lead out of it
or shrink too slowly, find its minimum to the last digits of float64. It is sought in [1/20, 20]: a model without an
error on these images has none, and gets T = 1/20; one that is wrong throughout gets 20.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from semisup.core.types import Reliability

BINS = 15
COLDEST, HOTTEST = 1 / 20, 20.0
MAX_STEPS = 100  # 60 halvings of the bracket are all that float64 has; Newton needs about 6


def reliability(confidence: Tensor, right: Tensor) -> Reliability:
    """Confidence and accuracy, bin by bin, of n predictions.

    Args:
        confidence: (n,) float in [0, 1].
        right: (n,) bool.
    """
    number = (confidence.double() * BINS).ceil().long().sub(1).clamp(0, BINS - 1)  # (n,)
    member = one_hot(number, BINS).double()  # (n, BINS)
    count = member.sum(dim=0)
    sure, correct = (
        (member * each.double().unsqueeze(1)).sum(dim=0) / count.clamp(min=1) for each in (confidence, right)
    )
    return Reliability(count.long().tolist(), sure.tolist(), correct.tolist())


def expected_calibration_error(found: Reliability) -> float:
    """ECE in [0, 1]; NaN of nothing."""
    total = sum(found.images)
    gaps = (
        count * abs(sure - right)
        for count, sure, right in zip(found.images, found.confidence, found.accuracy, strict=True)
    )
    return sum(gaps) / total if total else float("nan")


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """T in [1/20, 20] for which (n, K) `logits` / T have the least mean cross-entropy on the classes (n,) `targets`; 1
    of no images. Waits for the device a few times."""
    if len(logits) == 0:
        return 1.0
    logits = logits.detach().double()
    margins = logits - logits.gather(1, targets.unsqueeze(1))  # the loss of an image is logsumexp(margins / T)

    def slope(beta: float) -> tuple[float, float]:
        """First and second derivative of the mean loss by beta = 1 / T."""
        chance = (margins * beta).softmax(dim=1)
        mean = (chance * margins).sum(dim=1)
        spread = (chance * (margins - mean.unsqueeze(1)).square()).sum(dim=1)
        first, second = torch.stack((mean.mean(), spread.mean())).tolist()
        return first, second

    low, high, beta, last = 1 / HOTTEST, 1 / COLDEST, 1.0, float("inf")
    if slope(low)[0] >= 0:
        return HOTTEST
    if slope(high)[0] <= 0:
        return COLDEST
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
