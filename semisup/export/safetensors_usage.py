"""Write Python code that builds the network of a safetensors file, and runs it.

A classifier on the features of timm networks is computed with timm and torch alone. All other networks are built by
the classes of semisup, from the settings in config.json.
"""

from collections.abc import Iterator

from torch import nn

from semisup.encoder import BackboneNetwork
from semisup.export.standalone_model import StandaloneModel
from semisup.model.linear import UnitLength
from semisup.runner.trained_model import TrainedModel
from semisup.runner.trial_network import model_input

LAYERS = (UnitLength, nn.Linear, nn.ReLU, nn.Dropout)
"""Layers of a classifier on features that can be written as code."""


def usage_code(trained: TrainedModel, network: StandaloneModel) -> str:
    """Write Python code that computes `probabilities`, (n, K), of `pixels`, (n, S, S, 3) uint8.

    Args:
        trained: the model of the run.
        network: the network whose weights are in the file.
    """
    head, encoders = network.model, _encoders(network)
    if encoders and isinstance(head, nn.Sequential) and all(isinstance(layer, LAYERS) for layer in head):
        return "\n".join([*_loading(network), *_timm_features(network, encoders), *_head(head)])
    return "\n".join([*_loading(network), *_semisup_network(trained, network)])


def _encoders(network: StandaloneModel) -> dict[str, str]:
    """Map the name of each network of the encoder in the file to the name by which timm builds it.

    Returns:
        {} without an encoder, or if a network is not from timm.
    """
    several = isinstance(network.encoder, nn.ModuleList)
    parts = network.encoder if several else [network.encoder]
    names = {f"encoder.{number}.network" if several else "encoder.network": each for number, each in enumerate(parts)}
    known = {name: _architecture(each) for name, each in names.items() if isinstance(each, BackboneNetwork)}
    return known if len(known) == len(names) and all(known.values()) else {}


def _architecture(encoder: BackboneNetwork) -> str:
    """Return the name by which timm builds the network of an encoder; "" if it is unknown."""
    config = getattr(encoder.network, "pretrained_cfg", None) or {}
    return str(config.get("architecture") or "")


def _loading(network: StandaloneModel) -> Iterator[str]:
    yield from ("import torch", "from safetensors.torch import load_file", "")
    yield from ('weights = load_file("model.safetensors")', "torch.set_grad_enabled(False)")
    yield "values = torch.from_numpy(pixels)"
    if network.gray:
        yield "values = (values * torch.tensor([299, 587, 114])).sum(3, keepdim=True) // 1000"
    yield "values = values.permute(0, 3, 1, 2) / 255"  # (n, 1, S, S) broadcasts with the three channels of an encoder


def _part(name: str) -> str:
    """Write an expression for the weights of one part of the model, `model` or `encoder`, with the names it uses."""
    prefix = f"{name}."
    return f'{{key.removeprefix("{prefix}"): each for key, each in weights.items() if key.startswith("{prefix}")}}'


def _timm_features(network: StandaloneModel, encoders: dict[str, str]) -> Iterator[str]:
    yield from ("import timm", "", "features = []")
    for (name, architecture), source in zip(encoders.items(), network.inputs, strict=True):
        yield f'encoder = timm.create_model("{architecture}", num_classes=0).eval()'
        yield f"encoder.load_state_dict({_part(name)})"
        yield f"mean, std = torch.tensor({source.mean}), torch.tensor({source.std})"
        side = source.size
        resized = f'torch.nn.functional.interpolate(values, ({side}, {side}), mode="bicubic", antialias=True)'
        yield f"inputs = {'values' if side == network.size else resized}"
        yield "inputs = (inputs - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)"
        yield "features.append(encoder(inputs).half().float())  # in training, features are rounded to float16"
    if len(encoders) > 1:
        yield "features = [torch.nn.functional.normalize(each) for each in features]"
    yield f"values = torch.cat(features, dim=1){'.half().float()' if len(encoders) > 1 else ''}"


def _head(head: nn.Sequential) -> Iterator[str]:
    for number, layer in enumerate(head):
        if isinstance(layer, UnitLength):
            yield f"values = torch.nn.functional.normalize(values) * {layer.length}  # features of this length"
        elif isinstance(layer, nn.Linear):
            yield f'values = values @ weights["model.{number}.weight"].T + weights["model.{number}.bias"]'
        elif isinstance(layer, nn.ReLU):
            yield "values = values.relu()"
    yield "probabilities = values.softmax(dim=1).numpy()"


def _semisup_network(trained: TrainedModel, network: StandaloneModel) -> Iterator[str]:
    """Write the code that builds the network by the classes of semisup."""
    channels, classes, side = model_input(trained.run_config, trained.channels, len(trained.classes))
    yield from ("import json", "", "from semisup.config.registry import settings_class", "")
    yield 'settings = json.loads(Path("config.json").read_text(encoding="utf-8"))'
    for group in ("encoder", "model") if network.encoder is not None else ("model",):
        arguments = "" if group == "encoder" else f"{channels}, {classes}, {side}, "
        yield f'option = settings["{group}"]'
        yield f'build = settings_class("{group}", option.pop("name"))(**option).build'
        yield f"{group} = build({arguments}pretrained=False).eval()"
        yield f"{group}.load_state_dict({_part(group)})"
    if network.encoder is not None:
        yield "# in training, features are rounded to float16"
        yield "values = encoder(values).half().float()[:, :, None, None]"
    yield "probabilities = model(values).softmax(dim=1).numpy()"
