"""Moving average of the weights: formula, buffers, and update in place."""

import copy

import pytest
import torch
from torch import nn

from semisup.core.ema import averaged_tensors, decay_at, start_average, update_average
from semisup.training.loop import train
from semisup.training.state import State, reinitialize, restore, start
from tests.conftest import checked, toy_problem


def student() -> nn.Module:
    torch.manual_seed(0)
    return checked("model=wide_resnet", "model.depth=10").settings.model.build(1, 3, 8)


def trained(model: nn.Module, seed: int) -> None:
    """Other weights, and other statistics in BatchNorm."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    model.train()(torch.rand(4, 1, 8, 8, generator=generator))


def test_average_starts_as_a_copy_without_gradient() -> None:
    model = student()
    average = start_average(model)
    for own, other in zip(average.parameters(), model.parameters(), strict=True):
        assert torch.equal(own, other)
        assert own.data_ptr() != other.data_ptr()
        assert not own.requires_grad
        assert other.requires_grad


def test_update_averages_weights_and_copies_buffers() -> None:
    model = student()
    average = start_average(model)
    expected = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for step in range(3):
        trained(model, step)
        for name, parameter in model.named_parameters():
            expected[name] = 0.9 * expected[name] + 0.1 * parameter.detach()
        update_average(averaged_tensors(average, model, statistics=False), 0.9)
    for name, parameter in average.named_parameters():
        torch.testing.assert_close(parameter, expected[name])
    buffers = dict(model.named_buffers())
    assert {name.rpartition(".")[2] for name in buffers} == {"running_mean", "running_var", "num_batches_tracked"}
    for name, buffer in average.named_buffers():
        assert torch.equal(buffer, buffers[name]), name
        assert buffer.data_ptr() != buffers[name].data_ptr(), name
    assert int(dict(average.named_buffers())["1.0.norm1.num_batches_tracked"]) == 3


def test_update_averages_statistics_and_copies_counters() -> None:
    model = student()
    average = start_average(model)
    before = {name: value.clone() for name, value in model.named_buffers()}
    trained(model, 0)
    update_average(averaged_tensors(average, model, statistics=True), 0.9)
    now = dict(model.named_buffers())
    for name, buffer in average.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert int(buffer) == int(now[name]) == 1
        else:
            torch.testing.assert_close(buffer, 0.9 * before[name] + 0.1 * now[name])
            assert not torch.equal(buffer, now[name])


def test_update_is_in_place_and_leaves_the_student_unchanged() -> None:
    model = student()
    average = start_average(model)
    places = [each.data_ptr() for each in (*average.parameters(), *average.buffers())]
    trained(model, 1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    update_average(averaged_tensors(average, model, statistics=False), 0.5)
    assert [each.data_ptr() for each in (*average.parameters(), *average.buffers())] == places
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_average_with_decay_0_equals_the_student() -> None:
    model = student()
    average = start_average(model)
    trained(model, 2)
    update_average(averaged_tensors(average, model, statistics=False), 0.0)
    for own, other in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(own, other)


def test_warmup_decays_initial_weights_faster_and_ends_at_the_decay() -> None:
    assert [decay_at(0.99, update, warmup=True) for update in (1, 9, 891, 5000)] == [0.1, 0.5, 0.99, 0.99]
    assert decay_at(0.99, 1, warmup=False) == 0.99
    kept = dict.fromkeys((False, True), 1.0)
    for update in range(1, 101):
        for warmup in kept:
            kept[warmup] *= decay_at(0.99, update, warmup=warmup)
    assert kept[False] == pytest.approx(0.366, abs=0.001)
    assert kept[True] < 1e-10


def trained_average(*overrides: str) -> State:
    words = ("model.widths=[8,16]", "train.batch_size=4", "train.ema_decay=0.99", "train.steps=6", *overrides)
    config, problem = checked(*words), toy_problem()
    state = start(problem, config.settings)
    for _ in train(problem, config.settings, state):
        pass
    assert state.ema_updates == 6
    reinitialize(problem, config.settings, state, 1)
    assert state.ema_updates == 0
    return state


@pytest.mark.parametrize("setting", ["ema_warmup", "ema_buffers"])
def test_ema_settings_take_effect_and_reinitialization_restarts_the_average(setting: str) -> None:
    with_it, without = (trained_average(f"train.{setting}={word}") for word in ("true", "false"))
    assert with_it.best is not None
    assert without.best is not None
    assert with_it.best.loss != without.best.loss


@pytest.mark.parametrize("change", ["restore", "reinitialize"])
def test_update_uses_buffers_that_were_replaced_before(change: str) -> None:
    problem = toy_problem()
    config = checked("model=small_cnn", "train.ema_decay=0.5").settings
    state = start(problem, config)
    snapshot = copy.deepcopy(state.snapshot())
    state.averaged_tensors(statistics=False)
    norm = next(module for module in state.student.modules() if isinstance(module, nn.BatchNorm2d))
    norm.running_mean = torch.ones_like(norm.running_mean)
    if change == "restore":
        restore(state, snapshot)
    else:
        reinitialize(problem, config, state, 1)
    sources = [each for _, others in state.averaged_tensors(statistics=False).copied for each in others]
    assert any(each is norm.running_mean for each in sources)
