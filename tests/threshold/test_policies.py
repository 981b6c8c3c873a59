"""Threshold policies: the published numbers, and properties that hold for all inputs."""

import io
import math
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from semisup.config import registry
from semisup.core.rng import torch_generator
from semisup.core.types import LabeledPredictions, PolicyContext, PolicyOutput, PseudoLabels, StateDict
from semisup.errors import SettingError
from semisup.threshold import PolicyWithLoss
from semisup.threshold.adamatch import AdaMatch
from semisup.threshold.class_balanced import ClassBalanced
from semisup.threshold.dash import Dash
from semisup.threshold.fixed import Fixed
from semisup.threshold.flexmatch import FlexMatch, learning_status
from semisup.threshold.freematch import FreeMatch
from semisup.threshold.ramp import Ramp
from semisup.threshold.softmatch import SoftMatch, align_distribution
from tests.conftest import CONF, options
from tests.pseudo_labels import P1, P2, labels_of, policy_context, random_labels
from tests.second_values import second_values

STRONG = torch.tensor([[3.0, 0, 0], [0, 3, 0], [0, 1, 2], [1, 0, 0], [2, 1, 0]])
NAMES = options("threshold")
NEW = [name for name in NAMES if name not in ("fixed", "ramp", "quantile")]  # the others are in test_contracts


def policy_of(name: str, **changes: Any) -> Any:
    """Build the policy of a YAML, with its defaults except for `changes`."""
    node = yaml.safe_load((CONF / "threshold" / f"{name}.yaml").read_text()) | changes
    return registry.settings_class("threshold", node.pop("name"))(**node)


def ask(
    policy: Any, labels: PseudoLabels, memory: StateDict, index: Tensor | None = None, epoch: int = 30
) -> tuple[PolicyOutput, StateDict]:
    """Apply a policy to pseudo-labels, by default those of the first images."""
    index = torch.arange(len(labels.targets)) if index is None else index
    selection, memory = policy.select(labels, index, policy_context(labels.probabilities.shape[1], epoch=epoch), memory)
    return selection, memory


def near(actual: Tensor, expected: Any, rel: float = 1e-6) -> bool:
    """Whether values agree to seven printed digits: half a unit of the seventh decimal, or `rel`."""
    return bool(actual.tolist() == pytest.approx(expected, rel=rel, abs=6e-8))


# The numbers ----------------------------------------------------------------------------------------------------------


def test_fixed_gives_the_published_weights() -> None:
    assert ask(Fixed(tau=0.95, strict=False), labels_of(P1), {})[0].weight.tolist() == [1, 0, 0, 1, 0]


def test_flexmatch_with_warmup_gives_the_published_numbers() -> None:
    policy = FlexMatch(tau=0.95, warmup=True)
    first, memory = ask(policy, labels_of(P1), policy.init(3, 8))
    assert first.weight.tolist() == [1] * 5, "the weights use b from before this batch, 0"
    assert first.threshold.tolist() == [0] * 3
    assert near(learning_status(memory["last_label"], 3, True), [1 / 3, 0, 0])
    second, memory = ask(policy, labels_of(P2), memory, torch.arange(2, 7))
    assert second.weight.tolist() == [1] * 5
    assert near(second.threshold, [0.95 * (1 / 3) / (2 - 1 / 3), 0, 0])
    assert near(learning_status(memory["last_label"], 3, True), [0.4, 0.2, 0])
    assert memory["last_label"].tolist() == [0, -1, 0, 1, -1, -1, -1, -1]


def test_flexmatch_without_warmup_gives_the_published_numbers() -> None:
    policy = FlexMatch(tau=0.95, warmup=False)
    _, memory = ask(policy, labels_of(P1), policy.init(3, 8))
    assert learning_status(memory["last_label"], 3, False).tolist() == [1, 0, 0]
    second, memory = ask(policy, labels_of(P2), memory, torch.arange(2, 7))
    assert second.weight.tolist() == [1, 1, 1, 0, 0]
    assert near(learning_status(memory["last_label"], 3, False), [1, 0.5, 0])
    third, _ = ask(policy, labels_of(P2), memory, torch.arange(2, 7))
    assert near(third.threshold, [0.95, 0.95 * 0.5 / 1.5, 0]), "tau b / (2 - b)"


def test_flexmatch_stores_the_higher_class_of_a_repeated_image() -> None:
    policy, twice = FlexMatch(tau=0.5, warmup=True), torch.tensor([1, 1, 0])
    labels = labels_of(torch.tensor([[0.1, 0.9, 0.0], [0.99, 0.01, 0.0], [0.4, 0.3, 0.3]]))
    for order in (torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0])):
        shuffled = PseudoLabels(*(each[order] for each in labels))
        _, memory = ask(policy, shuffled, policy.init(3, 2), twice[order])
        assert memory["last_label"].tolist() == [-1, 1]
    _, memory = ask(policy, labels_of(torch.tensor([[0.4, 0.3, 0.3]])), memory, torch.tensor([1]))
    assert memory["last_label"].tolist() == [-1, 1], "an image without confidence keeps its stored label"


def test_freematch_gives_the_published_numbers() -> None:
    policy = FreeMatch(momentum=0.5, lambda_fairness=1)
    first, memory = ask(policy, labels_of(P1), policy.init(3, 50))
    assert near(memory["tau"], 0.5686667)
    assert near(memory["p"], [0.4086667, 0.2946667, 0.2966667])
    assert near(memory["histogram"], [0.4666667, 0.2666667, 0.2666667])
    assert near(first.threshold, [0.5686667, 0.4100337, 0.4128167])
    assert first.weight.tolist() == [1, 1, 0, 1, 1]
    second, memory = ask(policy, labels_of(P2), memory)
    assert near(memory["tau"], 0.6153333)
    assert near(memory["p"], [0.4163333, 0.3438333, 0.2398333])
    assert near(memory["histogram"], [0.5333333, 0.3333333, 0.1333333])
    assert near(second.threshold, [0.6153333, 0.5081796, 0.3544694], rel=2e-7)
    assert second.weight.tolist() == [1, 1, 0, 0, 0]


def test_freematch_fairness_has_the_published_value_and_gradient() -> None:
    policy = FreeMatch(momentum=0.5, lambda_fairness=1)
    _, memory = ask(policy, labels_of(P1), policy.init(3, 50))
    selection, memory = ask(policy, labels_of(P2), memory)
    strong = STRONG.clone().requires_grad_()
    penalty = policy.penalty(strong, selection.weight, memory)
    assert penalty.shape == ()
    assert penalty.item() == pytest.approx(-14.112194, rel=1e-6)
    penalty.backward()
    assert strong.grad is not None
    assert (strong.grad[:2].abs() > 1e-4).all(), "of the selected images"
    assert strong.grad[2:].abs().max() == 0, "of the others"

    double = STRONG.double()
    wide = {name: value.double() for name, value in memory.items()}
    step = torch.zeros_like(STRONG).double()
    step[0, 0] = 1e-2
    above, below = (policy.penalty(double + sign * step, selection.weight, wide) for sign in (1, -1))
    slope = (above - below) / 2e-2
    assert strong.grad[0, 0].item() == pytest.approx(slope.item(), rel=1e-2)

    tenth = FreeMatch(momentum=0.5, lambda_fairness=0.1).penalty(STRONG, selection.weight, memory)
    assert tenth.item() == pytest.approx(-1.4112194, rel=1e-6)


def test_freematch_fairness_of_an_empty_selection_is_0_with_gradient_0() -> None:
    policy = FreeMatch(momentum=0.5, lambda_fairness=1)
    for count in (5, 0):
        strong = STRONG[:count].clone().requires_grad_()
        penalty = policy.penalty(strong, torch.zeros(count), policy.init(3, 50))
        penalty.backward()
        assert penalty.item() == 0
        assert strong.grad is not None
        assert torch.equal(strong.grad, torch.zeros(count, 3))


def test_only_freematch_adds_to_the_loss() -> None:
    assert [name for name in NAMES if isinstance(policy_of(name), PolicyWithLoss)] == ["freematch"]


def test_softmatch_gives_the_published_numbers() -> None:
    policy = SoftMatch(n_sigma=2, momentum=0.5, uniform_alignment=True, prior="uniform")
    first, memory = ask(policy, labels_of(P1), policy.init(3, 50))
    assert near(memory["p_bar"], [0.484, 0.256, 0.26]), "the first update is the mean of the batch"
    assert near(memory["mu"], 0.5747578)
    assert near(memory["var"], 0.527852)
    assert near(first.weight, [1, 1, 0.8851568, 1, 1])
    assert near(first.threshold, [0.5747578] * 3)
    second, memory = ask(policy, labels_of(P2), memory)
    assert near(memory["p_bar"], [0.454, 0.3245, 0.2215])
    assert near(memory["mu"], 0.6168857)
    assert near(memory["var"], 0.3043892)
    assert near(second.weight, [1, 1, 0.857174, 0.7750356, 0.8710778])
    assert torch.equal(second.targets, labels_of(P2).targets), "alignment changes weights, not pseudo-labels"


def test_softmatch_without_alignment_weights_the_predicted_confidence() -> None:
    policy = SoftMatch(n_sigma=2, momentum=0, uniform_alignment=False, prior="uniform")
    labels = labels_of(P1)
    selection, memory = ask(policy, labels, policy.init(3, 50))
    mean, variance = labels.confidence.mean(), labels.confidence.var()
    below = (labels.confidence - mean).clamp(max=0)
    assert near(memory["mu"], mean.item())
    assert near(memory["var"], variance.item())
    assert near(selection.weight, (-(below**2) * 4 / (2 * variance)).exp().tolist())
    narrow = SoftMatch(n_sigma=4, momentum=0, uniform_alignment=False, prior="uniform")
    assert ask(narrow, labels, narrow.init(3, 50))[0].weight[2] < selection.weight[2]


def test_adamatch_gives_the_published_numbers() -> None:
    policy = AdaMatch(tau=0.95, momentum=0.9, prior="predictions")
    selection, memory = ask(policy, labels_of(P1), policy.init(3, 50))
    assert near(memory["p_target"], [0.355, 0.3375, 0.3075])
    assert near(memory["p_bar"], [0.484, 0.256, 0.26])
    assert near(selection.threshold, [0.76] * 3)
    assert selection.weight.tolist() == [1, 1, 0, 1, 1]
    assert selection.targets.tolist() == [0, 1, 1, 0, 2], "the aligned labels: the third image was class 0"
    _, memory = ask(policy, labels_of(P2), memory)
    assert near(memory["p_bar"], (0.9 * P1.mean(dim=0) + 0.1 * P2.mean(dim=0)).tolist())


@pytest.mark.parametrize("prior", ["uniform", "labels"])
def test_prior_is_the_distribution_that_predictions_are_aligned_with(prior: str) -> None:
    shares = torch.tensor([0.6, 0.3, 0.1])
    context = PolicyContext(0, LABELED, class_shares=shares)
    target = shares if prior == "labels" else torch.full((3,), 1 / 3)
    aligned = align_distribution(P1, target, P1.mean(dim=0))
    ada = AdaMatch(tau=0.95, momentum=0.9, prior=prior)
    selection, memory = ada.select(labels_of(P1), torch.arange(5), context, ada.init(3, 50))
    assert torch.equal(memory["p_target"], target)
    assert torch.equal(ada.align(P1, memory), aligned)
    assert torch.equal(selection.targets, aligned.argmax(dim=1))
    soft = SoftMatch(n_sigma=2, momentum=0, uniform_alignment=True, prior=prior)
    _, memory = soft.select(labels_of(P1), torch.arange(5), context, soft.init(3, 50))
    assert near(memory["mu"], aligned.amax(dim=1).mean().item())


def test_prior_without_alignment_is_refused() -> None:
    with pytest.raises(SettingError, match="has no effect with threshold"):
        SoftMatch(n_sigma=2, momentum=0, uniform_alignment=False, prior="labels")


def test_alignment_multiplies_by_target_and_divides_by_mean() -> None:
    wanted, rare = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.6, 0.4 - 1e-6, 1e-6])
    raw = [[p * (w + 1e-6) / (r + 1e-6) for p, w, r in zip(row, wanted, rare, strict=True)] for row in P1.tolist()]
    for actual, row in zip(align_distribution(P1, wanted, rare), raw, strict=True):
        assert near(actual, [float(each / sum(row)) for each in row], rel=1e-5)


RHO = [1.50015, 1.18122, 0.930095, 0.732358, 0.57666, 0.454063, 0.35753, 0.28152, 0.221669]
RHO += [0.174543, 0.137435, 0.108217, 0.08521, 0.067094, 0.05283, 0.05, 0.05]


LABELED = LabeledPredictions(torch.tensor([[math.exp(-1), 0.1, 0.1], [0.1, math.exp(-2), 0.1]]), torch.tensor([0, 1]))


@pytest.mark.parametrize("every", [1, 3])
def test_dash_follows_the_published_curve_epoch_by_epoch(every: int) -> None:
    policy = Dash(scale=1.0001, gamma=1.27, rho_min=0.05, every=every, warmup_epochs=0)
    later = LabeledPredictions(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([1]))  # a true class of probability 0
    memory = policy.init(3, 50)
    for epoch in range(4, 4 + len(RHO) * every):
        for step in range(2):
            context = PolicyContext(0, later if epoch > 4 or step else LABELED, epoch)
            selection, memory = policy.select(labels_of(P1), torch.arange(5), context, memory)
            rho = RHO[(epoch - 4) // every]
            assert near(selection.threshold, [math.exp(-rho)] * 3, rel=1e-6)
            assert selection.weight.tolist() == [float(-math.log(each) <= rho) for each in P1.amax(dim=1).tolist()]
            assert near(memory["rho_0"], 1.5), "that of the labeled images at the first call, for the whole training"
    assert math.isfinite(ask(policy, labels_of(P1), policy.init(3, 50))[0].threshold[0])


def test_dash_takes_rho_0_from_the_last_epoch_on_labels_only() -> None:
    policy = Dash(scale=1.0, gamma=1.27, rho_min=0.05, every=10, warmup_epochs=2)
    memory = policy.init(3, 50)
    for epoch, losses in enumerate(([9.0, 9.0], [0.5, 0.8])):
        assert policy.is_labels_only(epoch)
        selection, same = policy.select(labels_of(P1), torch.arange(5), PolicyContext(0, LABELED, epoch), memory)
        assert selection.weight.tolist() == [0] * 5
        assert all(torch.equal(memory[name], same[name]) for name in memory)
        for loss, images in zip(losses, (4, 2), strict=True):
            sums = torch.tensor([loss * images, images], dtype=torch.float64)
            memory = policy.observe_labeled_loss(sums[0], sums[1], epoch, memory)
    assert not policy.is_labels_only(2)
    for epoch in (2, 11, 12):
        context = PolicyContext(0, LABELED, epoch)
        selection, memory = policy.select(labels_of(P1), torch.arange(5), context, memory)
        assert near(memory["rho_0"], 0.6)
        assert near(selection.threshold, [math.exp(-0.6 / (1.27 if epoch == 12 else 1))] * 3)


def test_dash_rho_0_is_finite_for_a_probability_of_0() -> None:
    policy = policy_of("dash")
    context = PolicyContext(0, LabeledPredictions(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([1])), epoch=30)
    selection, memory = policy.select(labels_of(P1), torch.arange(5), context, policy.init(3, 50))
    assert torch.isfinite(memory["rho_0"])
    assert selection.weight.tolist() == [1] * 5


# Class balance --------------------------------------------------------------------------------------------------------


def lopsided(count: int, seed: int) -> PseudoLabels:
    """Pseudo-labels of four classes, more than half of class 0, which is also the most confident."""
    logits = torch.rand(count, 4, generator=torch_generator(seed, "lopsided")) * 3
    logits[:, 0] += 1.2
    return labels_of(logits.softmax(dim=1))


def test_class_balanced_selects_the_k_most_confident_of_every_class() -> None:
    labels = lopsided(400, 0)
    counts = torch.bincount(labels.targets, minlength=4)
    assert counts[0] > 200
    policy = ClassBalanced(q=0.1)
    selection, _ = ask(policy, labels, policy.init(4, 400))
    selected = selection.weight > 0
    assert torch.bincount(labels.targets[selected], minlength=4).tolist() == [10] * 4
    for each in range(4):
        members = labels.targets == each
        assert labels.confidence[members & selected].min() == selection.threshold[each]
        assert labels.confidence[members & ~selected].max() <= selection.threshold[each]
    everything = ClassBalanced(q=1)
    selection, _ = ask(everything, labels, everything.init(4, 400))
    given = torch.bincount(labels.targets[selection.weight > 0], minlength=4)
    assert given.tolist() == counts.clamp(max=100).tolist(), "a rare class contributes all, a frequent one N / K"
    assert selection.threshold[counts < 100].max() == 0
    none = ClassBalanced(q=0)
    selection, _ = ask(none, labels, none.init(4, 400))
    assert selection.weight.max() == 0
    assert (selection.threshold > 1).all()


def test_class_balanced_k_is_not_increased_by_rounding() -> None:
    labels = labels_of(torch.tensor([[0.9, 0.1]] * 50 + [[0.1, 0.9]] * 50))
    policy = ClassBalanced(q=0.14)  # 0.14 * 100 / 2 is 7.000000000000001
    assert ask(policy, labels, policy.init(2, 100))[0].weight.sum() == 14


def test_class_balanced_breaks_ties_by_the_lower_index() -> None:
    labels, policy = labels_of(torch.tensor([[1.0, 0.0]] * 6)), ClassBalanced(q=0.5)
    index = torch.tensor([3, 5, 0, 4, 1, 2])
    selection, _ = ask(policy, labels, policy.init(2, 6), index)
    assert sorted(index[selection.weight > 0].tolist()) == [0, 1], "ceil(.5 * 6 / 2)"


def test_class_balanced_selects_equally_from_batches() -> None:
    policy, labels = ClassBalanced(q=0.2), lopsided(2000, 1)
    memory, accepted, steps = policy.init(4, 2000), torch.zeros(4), 0
    for epoch in range(3):
        for batch in torch.randperm(2000, generator=torch_generator(epoch, "order")).split(40):
            selection, memory = ask(policy, PseudoLabels(*(each[batch] for each in labels)), memory, batch)
            if epoch == 0 and memory["targets"].ge(0).sum() == 40:
                assert selection.weight.sum() <= 8, "the share is of the images seen so far"
            if epoch > 0:
                accepted += torch.bincount(selection.targets[selection.weight > 0], minlength=4)
                steps += 1
    assert (accepted / 2).tolist() == [100] * 4, "every pass selects as many as from the whole set at once"
    whole, _ = ask(policy, labels, policy.init(4, 2000))
    assert torch.equal(whole.threshold, selection.threshold)


def test_class_balanced_uses_the_more_confident_label_of_a_repeated_image() -> None:
    policy, index = ClassBalanced(q=1), torch.tensor([1, 1, 0])
    labels = labels_of(torch.tensor([[0.4, 0.6], [0.9, 0.1], [0.2, 0.8]]))
    for order in (torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])):
        selection, memory = ask(
            policy, PseudoLabels(*(each[order] for each in labels)), policy.init(2, 3), index[order]
        )
        assert selection.weight.tolist() == torch.tensor([0.0, 1, 1])[order].tolist()
        assert memory["targets"].tolist() == [1, 0, -1]
        assert near(memory["confidence"], [0.8, 0.9, 0])


# What holds for all ---------------------------------------------------------------------------------------------------

cases = settings(derandomize=True, max_examples=15, deadline=None)
seeds = st.integers(0, 10_000)


@pytest.mark.parametrize("name", NAMES)
@given(seed=seeds, count=st.integers(1, 40), classes=st.integers(2, 7), data=st.data())
@cases
def test_weights_and_memory_are_valid_and_independent_of_order(
    name: str, seed: int, count: int, classes: int, data: st.DataObject
) -> None:
    policy = policy_of(name)
    extra = data.draw(st.sampled_from([0, 60]))  # the whole unlabeled set, and a batch of it
    sharpness = data.draw(st.sampled_from([0.0, 3.0, 300.0]))  # all equal, usual, saturated
    memory = policy.init(classes, count + extra)
    kinds = {key: (value.shape, value.dtype) for key, value in memory.items()}
    for round_ in range(3):
        generator = torch_generator(seed, "index", round_)
        index = torch.randperm(count + extra, generator=generator)[:count]
        labels = random_labels(count, classes, seed + round_, sharpness)
        order = torch.randperm(count, generator=generator)
        shuffled, other = ask(policy, PseudoLabels(*(each[order] for each in labels)), memory, index[order])
        selection, memory = ask(policy, labels, memory, index)
        assert ((selection.weight >= 0) & (selection.weight <= 1)).all()
        assert selection.weight.dtype == labels.confidence.dtype
        assert selection.targets.dtype == torch.int64
        assert ((selection.targets >= 0) & (selection.targets < classes)).all()
        assert selection.threshold.shape == (classes,)
        assert torch.isfinite(selection.threshold).all()
        assert torch.allclose(selection.weight[order], shuffled.weight, rtol=1e-5, atol=1e-6)
        assert torch.equal(selection.targets[order], shuffled.targets)
        assert {key: (value.shape, value.dtype) for key, value in memory.items()} == kinds
        for key, value in memory.items():  # the memory does not depend on the order of the batch either
            assert torch.isfinite(value).all()
            assert torch.allclose(value, other[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_empty_batch_leaves_the_memory_unchanged(name: str) -> None:
    policy = policy_of(name)
    none = PseudoLabels(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    _, used = ask(policy, labels_of(P1), policy.init(3, 50))
    for memory in (policy.init(3, 0), policy.init(3, 50), used):
        selection, after = ask(policy, none, memory)
        assert selection.weight.shape == selection.targets.shape == (0,)
        assert selection.threshold.shape == (3,)
        assert torch.isfinite(selection.threshold).all()
        assert all(torch.equal(value, after[key]) for key, value in memory.items())


@pytest.mark.parametrize("name", NAMES)
def test_memory_survives_a_checkpoint(name: str) -> None:
    policy = policy_of(name)
    _, memory = ask(policy, labels_of(P1), policy.init(3, 9))
    buffer = io.BytesIO()
    torch.save(memory, buffer)
    buffer.seek(0)
    restored = torch.load(buffer, weights_only=True)
    expected, after = ask(policy, labels_of(P2), memory, torch.arange(2, 7))
    actual, again = ask(policy, labels_of(P2), restored, torch.arange(2, 7))
    assert all(torch.equal(a, b) for a, b in zip((*expected, *after.values()), (*actual, *again.values()), strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [{"momentum": 0.0}, {}])
@pytest.mark.parametrize(
    "rows",
    [[[1 / 3] * 3] * 4, [[1.0, 0.0, 0.0]] * 4, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]],
    ids=["uniform", "certain", "one", "two"],
)
def test_degenerate_batches_give_finite_values(name: str, change: dict[str, float], rows: list[list[float]]) -> None:
    policy = policy_of(name)
    if change and hasattr(policy, "momentum"):
        policy = policy_of(name, **change)
    memory = policy.init(3, 9)
    for _ in range(3):
        selection, memory = ask(policy, labels_of(torch.tensor(rows)), memory)
        assert all(torch.isfinite(each).all() for each in (*selection, *memory.values()))
        if isinstance(policy, PolicyWithLoss):
            strong = torch.tensor(rows).mul(1000).requires_grad_()
            policy.penalty(strong, selection.weight, memory).backward()
            assert strong.grad is not None
            assert torch.isfinite(strong.grad).all()


def test_softmatch_weights_equally_confident_images_by_1() -> None:
    policy = SoftMatch(n_sigma=2, momentum=0, uniform_alignment=True, prior="uniform")
    selection, _ = ask(policy, labels_of(torch.tensor([[0.5, 0.3, 0.2]] * 4)), policy.init(3, 9))
    assert selection.weight.tolist() == [1] * 4


@pytest.mark.parametrize("name", ["fixed", "ramp", "flexmatch", "adamatch"])
@given(seed=seeds)
@cases
def test_tau_0_selects_all(name: str, seed: int) -> None:
    policy = Ramp(tau_start=0, tau=0, shape="linear") if name == "ramp" else policy_of(name, tau=0.0)
    memory = policy.init(4, 30)
    for round_ in range(3):
        selection, memory = ask(policy, random_labels(30, 4, seed + round_), memory)
        assert selection.weight.min() == 1


def test_tau_1_selects_only_a_confidence_of_1() -> None:
    labels = labels_of(torch.tensor([[1.0, 0, 0], [1 - 1e-6, 1e-6, 0], [0, 1.0, 0], [0.2, 0.8, 0]]))
    for policy in (Fixed(tau=1, strict=False), Ramp(tau_start=1, tau=1, shape="linear")):
        assert ask(policy, labels, {})[0].weight.tolist() == [1, 0, 1, 0]
    flexible = FlexMatch(tau=1, warmup=False)
    first, memory = ask(flexible, labels, flexible.init(3, 4))
    assert first.weight.tolist() == [1] * 4, "b = 0 at first: tau has no effect yet"
    assert ask(flexible, labels, memory)[0].weight.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("name", NEW)
def test_policy_accepts_labels_of_other_dtypes(name: str) -> None:
    """With float64 or bfloat16 labels, the memory keeps its dtype and the weights have that of the labels."""
    policy = policy_of(name)
    for dtype in (torch.float64, torch.bfloat16):
        memory = policy.init(3, 9)
        kinds = {key: value.dtype for key, value in memory.items()}
        for _ in range(2):
            selection, memory = ask(policy, labels_of(P1.to(dtype)), memory)
            assert selection.weight.dtype == dtype
        assert {key: value.dtype for key, value in memory.items()} == kinds


WRONG = [
    ("class_balanced", "q", 1.1),
    ("flexmatch", "tau", -0.1),
    ("flexmatch", "tau", 1.5),
    ("freematch", "momentum", 1.0),
    ("freematch", "lambda_fairness", -1.0),
    ("softmatch", "n_sigma", 0.0),
    ("softmatch", "momentum", math.nan),
    ("adamatch", "tau", 2.0),
    ("adamatch", "momentum", 1.0),
    ("dash", "scale", 0.0),
    ("dash", "gamma", 0.9),
    ("dash", "rho_min", -0.1),
    ("dash", "every", 0),
    ("dash", "warmup_epochs", -1),
]


@pytest.mark.parametrize(("name", "key", "value"), WRONG)
def test_value_out_of_range_names_the_key(name: str, key: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"^{key}="):
        policy_of(name, **{key: value})


@pytest.mark.parametrize("name", NEW)
def test_every_setting_of_a_policy_changes_a_result(name: str) -> None:
    """Another value of a setting gives another selection, or another loss term."""
    short = {"momentum": 0.5} if "momentum" in vars(policy_of(name)) else {}  # 20 selects are few for .999
    policy = policy_of(name, **short)
    for key in vars(policy):
        values = second_values(policy, key)
        assert any(outcome(policy) != outcome(policy_of(name, **short | {key: value})) for value in values), key


def outcome(policy: Any) -> list[list[float]]:
    """The weights, thresholds and loss terms of 20 steps, three epochs apart."""
    memory, values = policy.init(3, 40), []
    for step in range(20):
        labels = random_labels(40 if step < 10 else 20, 3, step, sharpness=9.0)
        selection, memory = ask(policy, labels, memory, epoch=3 * step)
        values += [selection.weight.tolist(), selection.threshold.tolist()]
        if isinstance(policy, PolicyWithLoss):
            values.append([policy.penalty(STRONG, torch.ones(5), memory).item()])
    return values
