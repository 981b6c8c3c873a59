"""Choose float32 or bfloat16 for `precision=auto`.

The choice depends on the device and the network.
"""

from functools import partial

from semisup.errors import SettingError
from semisup.model import ModelSettings
from semisup.runtime.meta_network import meta_network
from semisup.runtime.precision import PrecisionChoice, choose_precision, trains_depthwise

_depthwise: dict[str, bool] = {}
"""Cache: settings of a model as text -> result of `_trains_depthwise`."""


def resolve_precision(device: str, model: ModelSettings, size: int) -> PrecisionChoice:
    """Choose the precision of a run with `precision=auto`.

    Args:
        device: cpu, mps, cuda or cuda:<number>.
        model: settings of the model.
        size: side of an image in pixels.
    """
    return choose_precision(device.partition(":")[0], partial(_trains_depthwise, model, size))


def _trains_depthwise(model: ModelSettings, size: int) -> bool:
    if repr(model) not in _depthwise:
        try:
            network = meta_network(lambda: model.build(3, 10, size, pretrained=False))
        except (SettingError, RuntimeError, AssertionError, IndexError, OverflowError):
            return False  # `check_compatibility` says why it cannot be built
        _depthwise[repr(model)] = trains_depthwise(network)
    return _depthwise[repr(model)]
