"""Losses: the numbers of the authors' code, the control, and the loss on pseudo-labels."""

import dataclasses
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from semisup.config import schema
from semisup.config.controls import reference_configs
from semisup.config.run_id import run_id
from semisup.core.losses import ClassTerms, image_cross_entropy, mean_cross_entropy
from semisup.core.types import Images, PolicyOutput
from semisup.errors import SettingError
from semisup.loss.class_weights import ClassWeights
from semisup.loss.logit_adjustment import LogitAdjustment
from semisup.training.loop import train
from semisup.training.state import TrainingData, start
from tests.conftest import checked, choose, toy_problem

COUNTS = torch.tensor([20.0, 5.0, 1.0])
LOGITS = torch.tensor([[1.0, 2, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]])


def test_class_weights_have_the_ratios_of_the_published_code() -> None:
    weights = ClassWeights(beta=0.9).labeled(COUNTS).weight
    assert weights is not None
    published = torch.tensor([0.2514818, 0.5394434, 2.2090748])
    assert torch.allclose(weights / weights.sum(), published / published.sum(), atol=1e-7)
    assert float((weights * COUNTS).sum()) == pytest.approx(26), "the mean weight of a labeled image is 1"


def test_class_weights_are_equal_with_beta_0_and_inverse_with_beta_1() -> None:
    assert ClassWeights(beta=0).labeled(COUNTS).weight.tolist() == [1, 1, 1]  # type: ignore[union-attr]
    assert (ClassWeights(beta=1).labeled(COUNTS).weight * COUNTS).tolist() == pytest.approx([26 / 3] * 3)  # type: ignore[operator]


def test_class_weights_count_a_class_without_labels_as_one_with_a_single_label() -> None:
    weights = ClassWeights(beta=1).labeled(torch.tensor([4.0, 0.0])).weight
    assert weights is not None
    assert weights.tolist() == pytest.approx([0.625, 2.5])


def test_weighted_loss_is_divided_by_the_number_of_images() -> None:
    terms, targets = ClassTerms(weight=torch.tensor([1.0, 2, 3])), torch.tensor([0, 1, 2, 2])
    expected = cross_entropy(LOGITS, targets, reduction="none") * torch.tensor([1.0, 2, 3, 3])
    assert mean_cross_entropy(LOGITS, targets, terms).item() == pytest.approx(expected.sum().item() / 4)
    soft = torch.eye(3)[targets]
    assert torch.allclose(image_cross_entropy(LOGITS, soft, terms), expected)


def test_logit_adjustment_gives_the_loss_of_the_published_code() -> None:
    terms = LogitAdjustment(scale=1, unlabeled="none", momentum=0.9).labeled(COUNTS)
    assert mean_cross_entropy(LOGITS[:2], torch.tensor([2, 1]), terms).item() == pytest.approx(3.1189084, rel=1e-6)


def test_logit_adjustment_remains_finite_if_a_class_has_no_labels() -> None:
    terms = LogitAdjustment(scale=1, unlabeled="labels", momentum=0.9).labeled(torch.tensor([4.0, 0.0]))
    assert terms.shift is not None
    assert torch.isfinite(terms.shift).all()


def test_estimate_follows_the_selected_pseudo_labels() -> None:
    loss = LogitAdjustment(scale=1, unlabeled="estimate", momentum=0.5)
    memory = loss.init(2)
    assert loss.unlabeled_shift(COUNTS[:2], memory).tolist() == pytest.approx([-0.6931472] * 2)
    targets = torch.tensor([0, 0, 1, 1])
    selected = PolicyOutput(torch.tensor([1.0, 0.5, 0.5, 0.0]), targets, torch.zeros(2))
    memory = loss.observe(selected, memory, whole=False)
    assert memory["shares"].tolist() == pytest.approx([0.625, 0.375])
    none = PolicyOutput(torch.zeros(4), targets, torch.zeros(2))
    assert loss.observe(none, memory, whole=False)["shares"].tolist() == memory["shares"].tolist()
    assert loss.observe(selected, memory, whole=True)["shares"].tolist() == [0.75, 0.25]
    ones = PolicyOutput(torch.ones(4), torch.zeros(4, dtype=torch.int64), torch.zeros(2))
    assert torch.isfinite(loss.unlabeled_shift(COUNTS[:2], loss.observe(ones, memory, whole=True))).all()


# Runs -----------------------------------------------------------------------------------------------------------------


def long_tail() -> TrainingData:
    """A toy problem with 8, 3 and 1 labeled images of the three classes."""
    problem = toy_problem(labeled=24)
    index = torch.tensor([*range(0, 24, 3), *range(1, 10, 3), 2])
    labeled = problem.labeled
    pixels: Any = labeled.pixels[index]
    few = Images(pixels, labeled.targets[index], [labeled.paths[each] for each in index.tolist()])
    return dataclasses.replace(problem, labeled=few)


def weights_of(*overrides: str) -> list[torch.Tensor]:
    words = ("model.widths=[8]", "train.batch_size=4", "train.epochs=2", "optimizer.lr=0.01", "train.ema_decay=0.9")
    config, problem = checked(*words, *overrides), long_tail()
    state = start(problem, config.settings)
    for _ in train(problem, config.settings, state):
        pass
    return [value.clone() for value in state.student.state_dict().values()]


def differ(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return any(not torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_loss_that_is_equal_for_all_classes_is_the_run_without_it() -> None:
    plain = weights_of("method=supervised")
    assert not differ(weights_of("method=supervised", "loss=logit_adjustment", "loss.scale=0"), plain)
    assert differ(weights_of("method=supervised", "loss=logit_adjustment"), plain)
    assert differ(weights_of("method=supervised", "loss=class_weights"), plain)


@pytest.mark.parametrize("prior", ["labels", "estimate"])
@pytest.mark.parametrize("method", ["fixmatch", "uda", "pseudo_label", "label_propagation", "self_training"])
def test_unlabeled_adjustment_changes_the_loss_on_pseudo_labels_only(method: str, prior: str) -> None:
    some = [*choose("method", method, gate=0, ramp=0, refresh_every=1), "threshold.tau=0", "loss=logit_adjustment"]
    adjusted, plain = weights_of(*some, f"loss.unlabeled={prior}"), weights_of(*some)
    assert differ(adjusted, plain)
    selects_none = "threshold.tau=1", "threshold.strict=true"
    assert not differ(weights_of(*some, *selects_none, f"loss.unlabeled={prior}"), weights_of(*some, *selects_none))


@pytest.mark.parametrize("method", ["mixmatch", "mean_teacher"])
def test_unlabeled_adjustment_is_refused_without_a_cross_entropy(method: str) -> None:
    words = f"method={method}", "train.ema_decay=0.9", "loss=logit_adjustment", "loss.unlabeled=labels"
    with pytest.raises(SettingError, match="needs a cross-entropy on pseudo-labels") as error:
        checked(*words)
    assert str(error.value).startswith("loss.unlabeled=labels: ")
    checked(*words, "method.lambda_unlabeled=0")


def test_momentum_is_part_of_the_run_id_only_if_it_has_an_effect() -> None:
    def ids(prior: str) -> list[str]:
        words = "loss=logit_adjustment", f"loss.unlabeled={prior}"
        return [checked(*words, *more).id for more in ([], ["loss.momentum=0.5"])]

    for prior in ("none", "labels"):
        assert len(set(ids(prior))) == 1
    assert len(set(ids("estimate"))) == 2
    with pytest.raises(SettingError, match=r"^loss.momentum=1.5: must be in \[0, 1\)$"):
        checked("loss=logit_adjustment", "loss.momentum=1.5")


def test_references_have_the_loss_of_the_run_and_share_what_cannot_change_them() -> None:
    summary = {"steps": 10, "labeled_steps": 10}
    runs = [
        checked("method=fixmatch", "loss=logit_adjustment", "loss.scale=2", f"loss.unlabeled={prior}")
        for prior in ("none", "labels", "estimate")
    ]
    assert len({run.id for run in runs}) == 3
    for kind in ("control", "baseline", "labels_only"):
        configs = [schema.validate(reference_configs(run.config, summary)[kind]).config for run in runs]
        assert configs[0]["loss"] == {"name": "logit_adjustment", "scale": 2.0, "unlabeled": "none", "momentum": 0.0}
        assert len({run_id(config) for config in configs}) == 1
    other = checked("method=fixmatch", "loss=logit_adjustment", "loss.scale=1").config
    control = reference_configs(other, summary)["control"]
    assert run_id(control) != run_id(reference_configs(runs[0].config, summary)["control"])
