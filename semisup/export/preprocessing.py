"""Describe the preprocessing of an exported model as data: the steps before the model and those inside it."""

import dataclasses
from typing import Any

from semisup.export.standalone_model import StandaloneModel
from semisup.images.decode_settings import DecodeSettings
from semisup.model.linear import UnitLength


def describe_preprocessing(network: StandaloneModel, settings: DecodeSettings) -> dict[str, Any]:
    """Return the content of preprocessing.json.

    `before_the_model` has the steps that the user's program must do. `inside_the_model` has the steps that the ONNX and
    torch files do; with an encoder of several networks, resizing, normalization and the length to which the features of
    the network are scaled are in `networks`, for each of them.
    """
    size = settings.size
    inputs = [
        {
            "size": each.size,
            "interpolation": "bicubic, antialiased" if each.size != size else None,
            "mean": _rounded(each.mean),
            "std": _rounded(each.std),
        }
        for each in network.inputs
    ]
    return {
        "input": {"name": "images", "type": "uint8", "shape": ["n", size, size, 3], "channels": "RGB"},
        "before_the_model": {
            "exif_orientation": "applied",
            "mode": "RGB",
            "interpolation": "bilinear, as PIL.Image.resize",
            **dataclasses.asdict(settings),
        },
        "inside_the_model": {
            "gray": [299 / 1000, 587 / 1000, 114 / 1000] if network.gray else None,
            "scale": 1 / 255,
            **(inputs[0] if len(inputs) == 1 else {"networks": [{**each, "features_length": 1.0} for each in inputs]}),
            "features": None if network.encoder is None else {"rounded_to": "float16", "length": _length(network)},
        },
    }


def _length(network: StandaloneModel) -> float | None:
    """Return the Euclidean length to which the model scales features; None = it does not scale them."""
    return next((layer.length for layer in network.model.modules() if isinstance(layer, UnitLength)), None)


def _rounded(values: list[float] | None) -> list[float] | None:
    return None if values is None else [round(value, 6) for value in values]
