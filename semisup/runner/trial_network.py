"""Build the network of a run without its data, to test its input size and to compute its size in bytes."""

import torch
from torch import nn

from semisup.config.schema import RunConfig
from semisup.core.partial_state import trained_state
from semisup.errors import SettingError, first_line
from semisup.model import ModelSettings
from semisup.runtime.meta_network import SkipWeightInit, meta_network, state_bytes

LARGE_SIDE, LARGE_BYTES = 256, 2**29
"""Largest image side in pixels, and largest size of the weights in bytes, for a test of the model on real tensors."""


def model_input(run_config: RunConfig, channels: int, num_classes: int) -> tuple[int, int, int]:
    """Return the arguments with which the model is built: number of channels, number of classes, and image size.

    The features of an encoder are treated as images of one pixel, with a channel for each feature.
    """
    if run_config.encoder is None:
        return channels, num_classes, run_config.dataset.size
    return run_config.encoder.dimension(), num_classes, 1


def meta_model(model: ModelSettings, channels: int, num_classes: int, size: int) -> nn.Module:
    """Build the network on torch's meta device, so that its tensors have no data. The result is cached."""
    key = (repr(model), channels, num_classes, size)
    if key not in _meta_models:
        _meta_models[key] = meta_network(lambda: model.build(channels, num_classes, size, pretrained=False))
    return _meta_models[key]


_meta_models: dict[tuple[str, int, int, int], nn.Module] = {}
"""Cached results of `meta_model`, because most runs of a sweep have the same model."""


_trials: dict[tuple[str, int, int, int], tuple[str | None, bool]] = {}
"""Cached results of `try_network`, because most runs of a sweep have the same model."""


def try_network(model: ModelSettings, channels: int, num_classes: int, size: int) -> tuple[str | None, bool]:
    """Test whether a network accepts images of this size, and whether it can be trained on a batch of one image.

    Args:
        channels: number of channels of an image.
        size: side of an image in pixels.

    Returns:
        The network's error message for images of this size, or None; and whether a batch of one image is possible.
    """
    # a network that is not large runs on real tensors, because the meta device would import torch's compiler (2 s)
    key = (repr(model), channels, num_classes, size)
    if key not in _trials:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            _trials[key] = _try(model, channels, num_classes, size)
    return _trials[key]


def _try(model: ModelSettings, channels: int, num_classes: int, size: int) -> tuple[str | None, bool]:
    try:
        network = meta_model(model, channels, num_classes, size)
        device = torch.device("meta")
        if size <= LARGE_SIDE and state_bytes(network) <= LARGE_BYTES:
            device = torch.device("cpu")
            with SkipWeightInit():
                network = model.build(channels, num_classes, size, pretrained=False)
        network.eval()(torch.zeros(2, channels, size, size, device=device))
    except (RuntimeError, AssertionError, IndexError) as error:
        return first_line(error), True
    try:
        network.train()(torch.zeros(1, channels, size, size, device=device))
    except ValueError:
        return None, False
    return None, True


def weight_bytes(run_config: RunConfig, channels: int, num_classes: int) -> int:
    """Compute the size of the model's weights and buffers in bytes, without allocating them.

    Raises:
        SettingError: the model cannot be built.
    """
    return state_bytes(_buildable_model(run_config, channels, num_classes))


def checkpoint_bytes(run_config: RunConfig, channels: int, num_classes: int) -> int:
    """Compute the size of the model's tensors in a checkpoint, in bytes.

    A checkpoint does not contain the layers of a frozen encoder.

    Raises:
        SettingError: the model cannot be built.
    """
    model = _buildable_model(run_config, channels, num_classes)
    return sum(value.nbytes for value in trained_state(model).values())


def _buildable_model(run_config: RunConfig, channels: int, num_classes: int) -> nn.Module:
    try:
        return meta_model(run_config.settings.model, *model_input(run_config, channels, num_classes))
    except (RuntimeError, AssertionError, IndexError, OverflowError) as error:
        name = run_config.config["model"]["name"]
        raise SettingError("model", name, f"cannot be built ({first_line(error)})") from None
