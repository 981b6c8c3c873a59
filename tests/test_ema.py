"""The average of the weights: its formula, its buffers, and that it is one set of tensors, moved in place."""

import torch
from torch import nn

from semisup.ema import start_average, update_average
from tests.conftest import checked


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


def test_the_average_starts_as_a_copy_without_gradient() -> None:
    model = student()
    average = start_average(model)
    for own, other in zip(average.parameters(), model.parameters(), strict=True):
        assert torch.equal(own, other)
        assert own.data_ptr() != other.data_ptr()
        assert not own.requires_grad
        assert other.requires_grad


def test_weights_are_averaged_and_buffers_copied() -> None:
    model = student()
    average = start_average(model)
    expected = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for step in range(3):
        trained(model, step)
        for name, parameter in model.named_parameters():
            expected[name] = 0.9 * expected[name] + 0.1 * parameter.detach()
        update_average(average, model, 0.9)
    for name, parameter in average.named_parameters():
        torch.testing.assert_close(parameter, expected[name])
    buffers = dict(model.named_buffers())
    assert {name.rpartition(".")[2] for name in buffers} == {"running_mean", "running_var", "num_batches_tracked"}
    for name, buffer in average.named_buffers():
        assert torch.equal(buffer, buffers[name]), name
        assert buffer.data_ptr() != buffers[name].data_ptr(), name
    assert int(dict(average.named_buffers())["1.0.norm1.num_batches_tracked"]) == 3


def test_no_tensor_is_made_anew_and_the_student_is_not_touched() -> None:
    model = student()
    average = start_average(model)
    places = [each.data_ptr() for each in (*average.parameters(), *average.buffers())]
    trained(model, 1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    update_average(average, model, 0.5)
    assert [each.data_ptr() for each in (*average.parameters(), *average.buffers())] == places
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_without_memory_the_average_is_the_student() -> None:
    model = student()
    average = start_average(model)
    trained(model, 2)
    update_average(average, model, 0.0)
    for own, other in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(own, other)
