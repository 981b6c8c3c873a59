"""BatchNorm over all processes: timm's layers that end with an activation keep it."""

import copy

import pytest
import torch
from torch import nn

from semisup.runtime import distributed
from semisup.runtime.timm_compat import create_network


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_network_of_timm_has_equal_outputs_with_synchronized_batchnorm(
    monkeypatch: pytest.MonkeyPatch, device: str, mode: str
) -> None:
    """The conversion for GPUs is tested on the CPU, where SyncBatchNorm of one process is BatchNorm."""
    monkeypatch.setattr(distributed.dist, "all_reduce", lambda tensor: None)  # the sum over one process
    torch.manual_seed(0)
    network: nn.Module = create_network("model.architecture", "test_efficientnet", 5).train(mode == "train")
    synchronized = copy.deepcopy(network)
    distributed.sync_batchnorm(synchronized, torch.device(device))
    images = torch.rand(6, 3, 32, 32)
    expected, outputs = network(images), synchronized(images)
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    for each in (expected, outputs):
        each.square().sum().backward()
    gradient, other = (
        torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
        for model in (network, synchronized)
    )
    assert (other - gradient).norm() <= 1e-3 * gradient.norm()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(synchronized.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
