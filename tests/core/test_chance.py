"""`chance_limit`: the accuracy that guessing exceeds with a probability of at most 1 %."""

import pytest
import torch
from scipy.stats import binomtest

from semisup.core.chance import chance_limit


@pytest.mark.parametrize("counts", [[2] * 11, [1] * 11, [27] * 10, [30, 10], [500, 500], [3, 1, 1]])
def test_limit_agrees_with_the_binomial_test(counts: list[int]) -> None:
    targets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    n, share = len(targets), max(counts) / len(targets)
    limit = chance_limit(targets)
    passing = [correct for correct in range(n + 1) if correct / n > limit]
    significant = [
        correct for correct in range(n + 1) if binomtest(correct, n, share, alternative="greater").pvalue <= 0.01
    ]
    assert passing == (significant or [n])


def test_all_images_must_be_correct_where_nothing_is_significant() -> None:
    assert chance_limit(torch.tensor([0, 1])) == 0.75
    assert chance_limit(torch.tensor([0, 0, 0])) == pytest.approx(2.5 / 3)
    assert chance_limit(torch.zeros(0, dtype=torch.int64)) == 0
