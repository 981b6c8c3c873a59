"""CReST+: the rates and the alignment of the published code, and the selection of each class."""

import pytest
import torch

from semisup.core.types import PolicyContext, PseudoLabels
from semisup.threshold.crest import CReST, selection_rates
from semisup.threshold.softmatch import align_distribution
from tests.pseudo_labels import labels_of, random_labels

SHARES = torch.tensor([0.64, 0.16, 0.2])


def test_rates_of_an_exponential_tail_are_those_of_the_published_code() -> None:
    counts = 1000 * 0.1 ** (torch.arange(5) / 4)
    expected = [0.1 ** ((4 - rank) / 4 / 3) for rank in range(5)]
    assert selection_rates(counts / counts.sum(), 1 / 3).tolist() == pytest.approx(expected)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert selection_rates((counts / counts.sum())[order], 1 / 3).tolist() == pytest.approx(
        [expected[i] for i in order]
    )


def test_rates_of_equally_frequent_and_of_absent_classes() -> None:
    assert selection_rates(torch.full((4,), 0.25), 1 / 3).tolist() == [1] * 4
    assert selection_rates(torch.tensor([0.5, 0.25, 0.25]), 1).tolist() == pytest.approx([0.5, 0.75, 0.75])
    assert selection_rates(torch.tensor([0.8, 0.2, 0.0]), 1).tolist() == pytest.approx([0.25, 0.625, 0.625])


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_the_most_confident_share_of_each_class_is_selected_after_alignment(progress: float) -> None:
    labels, policy = random_labels(400, 3, seed=1, sharpness=3), CReST(alpha=1, align_end=0.5, momentum=0.9)
    context = PolicyContext(progress, class_shares=SHARES)
    selection, memory = policy.select(labels, torch.arange(400), context, policy.init(3, 400))
    power = SHARES ** (1 - progress / 2)
    aligned = align_distribution(labels.probabilities, power / power.sum(), labels.probabilities.mean(dim=0))
    confidence, targets = aligned.max(dim=1)
    assert torch.equal(selection.targets, targets)
    assert torch.equal(policy.align(labels.probabilities, memory), aligned)
    for label, rate in enumerate((0.25, 1.0, 0.3125)):
        members = (targets == label).nonzero().squeeze(1)
        selected = selection.weight[members] > 0
        assert int(selected.sum()) == int(rate * len(members) + 1e-6)
        if int(selected.sum()):
            assert float(selection.threshold[label]) == float(confidence[members[selected]].min())
        if 0 < int(selected.sum()) < len(members):
            assert confidence[members[selected]].min() >= confidence[members[~selected]].max()


def test_batches_are_ranked_among_all_images_seen_so_far() -> None:
    policy = CReST(alpha=1, align_end=1, momentum=0)
    context = PolicyContext(0.5, class_shares=torch.tensor([0.5, 0.5]))
    rows = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8]])
    first, memory = policy.select(labels_of(rows), torch.arange(4), context, policy.init(2, 8))
    assert first.weight.tolist() == [1] * 4
    again = PseudoLabels(*(each[:2] for each in labels_of(rows)))
    uneven = PolicyContext(0.5, class_shares=torch.tensor([0.8, 0.2]))
    second, memory = policy.select(again, torch.tensor([4, 5]), uneven, memory)
    assert memory["targets"].tolist() == [0, 0, 1, 1, *second.targets.tolist(), -1, -1]
    assert second.weight.tolist() == [0, 0], (
        "one of the four images of class 0 is selected, and image 0 is more confident"
    )
