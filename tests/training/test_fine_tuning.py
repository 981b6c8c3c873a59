"""Fine-tuning: head first, rates of the head, clipping, accumulation; each repeats and resumes bit-identically."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from semisup.core.events import StepEnd
from semisup.core.layer_depth import head_parameters
from semisup.errors import SettingError
from semisup.training.loop import train
from semisup.training.state import TrainingData, start
from semisup.training.step import limit_gradient
from tests.conftest import checked, toy_problem
from tests.encoder.toy import ARCHITECTURE
from tests.training.test_loop import everything, resumed_at, same_weights, settings

TIMM = ("model=timm", f"model.architecture={ARCHITECTURE}", "model.input_size=32")
SGD = ("optimizer=sgd", "optimizer.lr=0.05", "train.batch_size=8", "precision=float32", "schedule=constant")


def timm_settings(*overrides: str) -> Any:
    return checked(*TIMM, "precision=float32", "train.batch_size=4", "augment.strength=0.3", *overrides).settings


def weights_after(problem: TrainingData, chosen: Any, steps: int) -> list[dict[str, Tensor]]:
    """The student's state dict before the first step and after each of `steps` steps."""
    state = start(problem, chosen)
    states = [{name: value.clone() for name, value in state.student.state_dict().items()}]
    for event in train(problem, chosen, state):
        if isinstance(event, StepEnd):
            states.append({name: value.clone() for name, value in state.student.state_dict().items()})
        if len(states) > steps:
            break
    return states


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


# Head first -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["supervised", "fixmatch", "mean_teacher"])
def test_only_the_head_changes_during_its_share_of_the_steps(method: str) -> None:
    chosen = settings("train.steps=10", "train.head_first=0.3", "train.evaluate_every_steps=2", method=method)
    problem = toy_problem()
    model = start(problem, chosen).student
    head = {id(parameter) for parameter in head_parameters(model)}
    names = {name for name, value in model.named_parameters() if id(value) in head}
    states = weights_after(problem, chosen, 5)
    for step in range(3):
        assert changed(states[step], states[step + 1]) == names, "not even BatchNorm's statistics, evaluations or not"
    after = changed(states[3], states[4])
    assert {name for name in states[0] if name.endswith("weight")} <= after
    assert any(name.endswith("running_mean") for name in after)


def test_timm_network_trains_its_classifier_first() -> None:
    chosen = timm_settings("method=supervised", "train.steps=4", "train.head_first=0.5")
    states = weights_after(toy_problem(channels=3), chosen, 3)
    assert changed(states[0], states[2]) == {"network.classifier.weight", "network.classifier.bias"}
    assert "network.conv_stem.weight" in changed(states[2], states[3])


def test_optimizer_state_of_the_body_begins_with_its_first_step() -> None:
    chosen = settings("train.steps=10", "train.head_first=0.3", "optimizer.weight_decay=0.5", method="supervised")
    problem = toy_problem()
    state = start(problem, chosen)
    counts = [
        {int(each["step"]) for each in state.optimizer.state.values()}
        for event in train(problem, chosen, state)
        if isinstance(event, StepEnd)
    ]
    assert counts[2] == {3}
    assert counts[3] == {1, 4}, "and weight decay has not changed it before"


def test_without_a_share_a_run_is_what_it_was() -> None:
    rows, weights, _ = everything(toy_problem(), settings("train.steps=6"))
    again_rows, again_weights, _ = everything(toy_problem(), settings("train.steps=6", "train.head_first=0"))
    assert rows == again_rows
    assert same_weights(weights, again_weights)


@pytest.mark.parametrize(
    "overrides",
    [
        ("train.head_first=0.35", "method=noisy_student", "method.refresh_every=2"),
        ("train.head_first=0.35", "train.ema_decay=0.9", "train.evaluate_every_steps=3"),
        ("train.max_grad_norm=0.1",),
        ("train.accumulate=2",),
        ("train.accumulate=2", "train.max_grad_norm=0.1", "train.head_first=0.35", "optimizer.head_lr=0.1"),
    ],
    ids=" ".join,
)
def test_run_resumed_at_any_step_is_bit_identical(overrides: tuple[str, ...]) -> None:
    problem, chosen = toy_problem(), settings("train.steps=20", *overrides)
    rows, weights, end = everything(problem, chosen)
    for stop in (1, 6, 7, 8, 19):
        again_rows, again_weights, again_end = resumed_at(stop, StepEnd, problem, chosen)
        assert again_rows == rows, stop
        assert same_weights(again_weights, weights), stop
        assert again_end == end, stop


# Rates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_head_has_its_own_rate(name: str) -> None:
    words = (f"optimizer={name}", "optimizer.lr=0.01", "optimizer.layer_decay=0.5", "optimizer.head_lr=0.3")
    chosen = settings(*words, method="supervised")
    model = start(toy_problem(), chosen).student
    groups = chosen.optimizer.build(model).param_groups
    rates = {id(each): 0.01 * group["lr_scale"] for group in groups for each in group["params"]}
    head = {id(each) for each in head_parameters(model)}
    assert [rates[each] for each in head] == pytest.approx([0.3] * len(head))
    assert max(rate for each, rate in rates.items() if each not in head) == pytest.approx(0.005)


def test_layer_decay_of_a_timm_network_follows_timms_groups() -> None:
    chosen = timm_settings("optimizer.layer_decay=0.5", "optimizer.decay_norm_and_bias=true")
    model: Any = chosen.model.build(3, 3, 8)
    groups = chosen.optimizer.build(model).param_groups
    scales = {id(each): group["lr_scale"] for group in groups for each in group["params"]}
    from semisup.runtime.timm_compat import layer_groups

    expected = layer_groups(model.network)
    assert expected is not None
    assert len(set(expected.values())) == 7
    for name, parameter in model.network.named_parameters():
        assert scales[id(parameter)] == 0.5 ** (6 - expected[name]), name


def test_layer_decay_without_a_grouping_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from semisup.model import timm

    monkeypatch.setattr(timm, "layer_groups", lambda network: None)
    chosen = timm_settings("optimizer.layer_decay=0.5")
    with pytest.raises(SettingError, match=r"optimizer\.layer_decay=0\.5: must be 1 for this architecture"):
        chosen.optimizer.build(chosen.model.build(3, 3, 8))
    other = dataclasses.replace(chosen.optimizer, layer_decay=1.0)
    other.build(chosen.model.build(3, 3, 8))


# Clipping -------------------------------------------------------------------------------------------------------------


def test_gradient_is_scaled_to_the_largest_norm() -> None:
    problem, sgd = toy_problem(), (*SGD, "optimizer.momentum=0", "optimizer.nesterov=false", "optimizer.weight_decay=0")
    limited = settings(*sgd, "train.steps=2", "train.max_grad_norm=0.01", method="supervised")
    before, after, _ = weights_after(problem, limited, 2)
    trained = [name for name, _ in start(problem, limited).student.named_parameters()]
    step = torch.cat([(after[name] - before[name]).flatten() for name in trained])
    assert float(step.norm()) == pytest.approx(0.05 * 0.01, rel=1e-3)
    plain = weights_after(problem, settings(*sgd, "train.steps=2", method="supervised"), 2)[1]
    unlimited = torch.cat([(plain[name] - before[name]).flatten() for name in trained])
    assert float(unlimited.norm()) > 5 * float(step.norm())
    cosine = torch.nn.functional.cosine_similarity(step, unlimited, dim=0)
    assert float(cosine) == pytest.approx(1, abs=1e-3), "the direction is that of the gradient"
    above = settings(*sgd, "train.steps=2", "train.max_grad_norm=1e6", method="supervised")
    assert same_weights(weights_after(problem, above, 2)[1], plain)


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_norm_is_zero_if_no_parameter_has_a_gradient(max_norm: float | None) -> None:
    assert float(limit_gradient([torch.nn.Parameter(torch.ones(2))], max_norm)) == 0
    assert float(limit_gradient([], max_norm)) == 0


# Accumulation ---------------------------------------------------------------------------------------------------------

METHODS = {
    "supervised": ("method=supervised",),
    "fixmatch": ("method=fixmatch", "method.ratio=3", "threshold.tau=0.34"),
    "fixmatch with adamatch": ("method=fixmatch", "method.ratio=3", "threshold=adamatch", "threshold.tau=0.3"),
}


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", [("model=mlp", "model.widths=[16]"), (*TIMM, "model.norm=frozen")])
def test_accumulation_equals_the_large_batch_up_to_rounding(method: str, model: tuple[str, ...], parts: int) -> None:
    words = (*model, *METHODS[method], *SGD, "train.epochs=null", "train.steps=3", "augment.strength=0.3")
    words = (*words, "optimizer.lr=1e-4") if "model=timm" in model else words
    problem = toy_problem(channels=3)
    large = weights_after(problem, checked(*words).settings, 3)
    small = weights_after(problem, checked(*words, f"train.accumulate={parts}").settings, 3)
    assert same_weights(large[0], small[0])
    for name, value in large[3].items():
        moved = float((value.float() - large[0][name].float()).abs().max())
        assert float((value.float() - small[3][name].float()).abs().max()) <= 1e-4 * moved + 1e-7, name


def test_batchnorm_normalizes_each_part_and_counts_it_once() -> None:
    words = (*SGD, "train.steps=2", "model.widths=[8,16]")
    problem = toy_problem()
    large = weights_after(problem, settings(*words, method="supervised"), 2)
    parts = weights_after(problem, settings(*words, "train.accumulate=4", method="supervised"), 2)
    (name, *_) = [name for name in large[0] if name.endswith("num_batches_tracked")]
    assert [int(each[name]) for each in large] == [0, 1, 2]
    assert [int(each[name]) for each in parts] == [0, 4, 6], "8 and 4 images: once a part, and not in the backward pass"
    first = next(iter(large[0]))
    assert not torch.allclose(large[1][first], parts[1][first], atol=1e-6)


def test_batch_has_at_least_two_images_in_each_part() -> None:
    words = (*SGD, "train.steps=4", "train.accumulate=100", "train.batch_size=5", "optimizer.lr=1e-3")
    rows, _, _ = everything(toy_problem(labeled=12), settings(*words, method="supervised"))
    assert rows[-1]["train/loss"] > 0


def test_accumulation_needs_less_memory_and_keeps_dropout() -> None:
    """Dropout draws are those of the forward pass when the backward pass computes a part again."""
    from semisup.runtime.accumulation import in_parts

    model = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Dropout(0.5), torch.nn.Linear(64, 2)).train()
    images, outputs = torch.rand(8, 4), []
    for forward in (in_parts(model, model.forward, 2), lambda rows: torch.cat([model(rows[:4]), model(rows[4:])])):
        torch.manual_seed(0)
        model.zero_grad()
        logits = forward(images)
        logits.square().sum().backward()
        outputs.append((logits.detach(), model[0].weight.grad.clone()))  # type: ignore[union-attr,operator]
    assert torch.equal(outputs[0][0], outputs[1][0])
    assert torch.allclose(outputs[0][1], outputs[1][1], rtol=1e-5)


def test_accumulation_is_refused_where_it_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingError, match=r"train\.accumulate=2: is not supported with compile=true"):
        checked("device=cpu", "compile=true", "train.accumulate=2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingError, match=r"train\.accumulate=2: supports only one process, but torchrun started 2"):
        checked("device=cpu", "train.accumulate=2")
