"""Models that read values of tensors while they are constructed pass the checks before a run."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from semisup.runner import compatibility


class ReadingModel:
    """A model as many papers' code has it: drop rates by `.item()`, which the meta device cannot do."""

    def __init__(self, read: Callable[[torch.Tensor], list[float]]) -> None:
        self.read = read

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool) -> nn.Module:
        rates = self.read(torch.linspace(0, 0.2, 3))
        return nn.Sequential(
            *(nn.Dropout(rate) for rate in rates), nn.Flatten(), nn.Linear(channels * size**2, num_classes)
        )


@pytest.mark.parametrize("read", [lambda rates: [rate.item() for rate in rates], lambda rates: rates.tolist()])
def test_constructor_that_reads_values_is_built_on_the_cpu(read: Callable[[torch.Tensor], list[float]]) -> None:
    before = torch.random.get_rng_state()
    network = compatibility._meta_model(ReadingModel(read), 1, 10, 8)  # type: ignore[arg-type]
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    assert sum(parameter.numel() for parameter in network.parameters()) == 650
    assert compatibility._probe_model(ReadingModel(read), 1, 10, 8) == (None, True)  # type: ignore[arg-type]
    assert torch.equal(torch.random.get_rng_state(), before), "no random number of the run is drawn"


def test_error_of_a_constructor_is_reported_once() -> None:
    def fail(rates: torch.Tensor) -> list[float]:
        raise RuntimeError("size must be a multiple of 32")

    reason, _ = compatibility._probe_model(ReadingModel(fail), 1, 10, 8)  # type: ignore[arg-type]
    assert reason == "size must be a multiple of 32"
