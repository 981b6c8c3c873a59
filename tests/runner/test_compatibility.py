"""Test the checks before a run with models that read values of tensors in their constructor."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import nn

from semisup.errors import SettingError
from semisup.runner import compatibility, memory_check, trial_network
from tests.conftest import checked

NUMBERS = itertools.count()


class ReadingModel:
    """Model whose constructor reads drop rates by `.item()`, which is not possible on the meta device."""

    def __init__(self, read: Callable[[torch.Tensor], list[float]]) -> None:
        self.read = read

    def __repr__(self) -> str:
        return f"ReadingModel({next(NUMBERS)})"  # results are cached by it, and an address can be used twice

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool) -> nn.Module:
        rates = self.read(torch.linspace(0, 0.2, 3))
        return nn.Sequential(
            *(nn.Dropout(rate) for rate in rates), nn.Flatten(), nn.Linear(channels * size**2, num_classes)
        )


@pytest.mark.parametrize("read", [lambda rates: [rate.item() for rate in rates], lambda rates: rates.tolist()])
def test_constructor_that_reads_values_is_built_on_the_cpu(read: Callable[[torch.Tensor], list[float]]) -> None:
    before = torch.random.get_rng_state()
    network = trial_network.meta_model(ReadingModel(read), 1, 10, 8)  # type: ignore[arg-type]
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    assert sum(parameter.numel() for parameter in network.parameters()) == 650
    assert trial_network.try_network(ReadingModel(read), 1, 10, 8) == (None, True)  # type: ignore[arg-type]
    assert torch.equal(torch.random.get_rng_state(), before), "no random number of the run is drawn"


def test_error_of_a_constructor_is_reported_once() -> None:
    def fail(rates: torch.Tensor) -> list[float]:
        raise RuntimeError("size must be a multiple of 32")

    reason, _ = trial_network.try_network(ReadingModel(fail), 1, 10, 8)  # type: ignore[arg-type]
    assert reason == "size must be a multiple of 32"


@pytest.mark.parametrize("allowed", [False, True])
def test_propagation_whose_features_exceed_the_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    """50 images of 3 x 32 x 32 pixels take 614,400 bytes in float32; the uint8 images and the model take less."""
    need = 50 * 3 * 32**2 * 4
    monkeypatch.setattr(memory_check, "memory_limit_bytes", lambda: need if allowed else need - 1)
    run_config = checked(
        "method=label_propagation", "dataset=cifar10", "dataset.root=.", "model.widths=[4]", "device=cpu"
    )
    counts = {"labeled": 10, "unlabeled": 40, "validation": 5, "test": 5}
    if allowed:
        compatibility.check_compatibility(run_config, ["a", "b"], counts, 3)
        return
    with pytest.raises(SettingError, match=r"method=label_propagation: 50 training images of 3072 values each"):
        compatibility.check_compatibility(run_config, ["a", "b"], counts, 3)
