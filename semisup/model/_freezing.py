"""Exclude layers of a pretrained network from training: the settings `freeze`, `train_blocks` and `norm`."""

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from semisup.core.layer_depth import head_parameters, layer_depths
from semisup.core.layers import NormalizedNetwork
from semisup.errors import SettingError, check_choice, check_range

FREEZE, NORM = ("none", "encoder", "blocks"), ("learn", "frozen")

ONLY_WITH_BLOCKS = "must be null except with model.freeze=blocks"


def check_freezing(freeze: str, train_blocks: int | None, norm: str) -> None:
    """Check the settings `freeze`, `train_blocks` and `norm`.

    Raises:
        SettingError: a value is not valid, or `train_blocks` is given without freeze=blocks or missing with it.
    """
    check_choice("freeze", freeze, FREEZE)
    check_choice("norm", norm, NORM)
    check_range("train_blocks", train_blocks, 1)
    if (freeze == "blocks") != (train_blocks is not None):
        allowed = "must be given with freeze=blocks, such as 2" if freeze == "blocks" else ONLY_WITH_BLOCKS
        raise SettingError("train_blocks", train_blocks, allowed)


class FreezableNetwork(NormalizedNetwork):
    """Base class of networks that preprocess their input and can have frozen layers, which are not trained.

    frozen_norm: whether the statistics of all BatchNorm layers are frozen
    frozen_names: state-dict keys of the tensors that training does not change
    weights_sha256: digest of the weights file; None without one
    """

    def __init__(
        self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], size: int | None = None
    ) -> None:
        super().__init__(network, mean, std, size)
        self.frozen_norm = False
        self.frozen_names: frozenset[str] = frozenset()
        self.weights_sha256: str | None = None

    def train(self, mode: bool = True) -> "FreezableNetwork":
        """Set the mode of all layers; BatchNorm layers with frozen statistics stay in eval mode."""
        super().train(mode)
        for _, layer in _frozen_norms(self):
            layer.train(False)
        return self


def freeze_layers(
    model: FreezableNetwork, freeze: str, train_blocks: int | None, norm: str, architecture: str, sha256: str | None
) -> FreezableNetwork:
    """Exclude layers of a new model from training, set the model to training mode, and return it.

    Args:
        freeze, train_blocks, norm: the settings of these names.
        architecture: name of the network, for error messages.
        sha256: digest of the weights file; None = random weights.

    Raises:
        SettingError: timm does not divide the network into blocks, or it has fewer than `train_blocks`.
    """
    model.frozen_norm = norm == "frozen" or freeze == "encoder"
    if freeze != "none":
        _freeze_parameters(model, train_blocks, architecture)
        if sha256 is not None:
            model.frozen_names, model.weights_sha256 = frozenset(_frozen_names(model)), sha256
    model.train()  # a new network is in training mode; this keeps frozen BatchNorm in eval mode
    return model


def _freeze_parameters(model: nn.Module, train_blocks: int | None, architecture: str) -> None:
    """Freeze all parameters outside the classifier and the last `train_blocks` blocks.

    Args:
        train_blocks: number of blocks that are trained; None = only the classifier is trained.
        architecture: name of the network, for error messages.
    """
    trained = set(head_parameters(model))
    if train_blocks is not None:
        depths = layer_depths(model)
        if depths is None:
            allowed = f"timm does not divide {architecture} into blocks; use model.freeze=none or model.freeze=encoder"
            raise SettingError("model.freeze", "blocks", allowed)
        blocks = max(depth for each, depth in depths.items() if each not in trained) + 1
        if train_blocks > blocks:
            allowed = f"must be at most {blocks}, the number of blocks of {architecture}"
            raise SettingError("model.train_blocks", train_blocks, allowed)
        trained |= {each for each, depth in depths.items() if depth >= blocks - train_blocks}
    for parameter in model.parameters():
        parameter.requires_grad_(parameter in trained)


def _frozen_norms(model: FreezableNetwork) -> Iterator[tuple[str, nn.Module]]:
    """Yield name and layer of each BatchNorm whose statistics are frozen.

    These are all BatchNorm layers if `frozen_norm` is set, otherwise those whose parameters are not trained.
    """
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm):
            trained = [parameter.requires_grad for parameter in layer.parameters()]
            if model.frozen_norm or (trained and not any(trained)):
                yield name, layer


def _frozen_names(model: FreezableNetwork) -> Iterator[str]:
    """Yield the names of the parameters that are not trained, and of the BatchNorm statistics that are frozen."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            yield name
    for name, layer in _frozen_norms(model):
        yield from (f"{name}.{key}" for key, _ in layer.named_buffers())
