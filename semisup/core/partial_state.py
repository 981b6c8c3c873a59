"""The part of a model's state that a training can change.

The layers of a frozen encoder are those of its file of weights, whatever a run does, so a checkpoint holds the others
and the digest of that file.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class PartlyFrozen(Protocol):
    """A network with layers that no training changes.

    frozen_names: names in its state dict that keep the values of the file of weights; empty without such a file
    weights_sha256: digest of that file
    """

    frozen_names: frozenset[str]
    weights_sha256: str | None


def frozen_digest(model: nn.Module) -> str | None:
    """Return the digest of the file that holds the frozen layers of a model; None if none are frozen."""
    return model.weights_sha256 if isinstance(model, PartlyFrozen) and model.frozen_names else None


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict without frozen layers; the tensors are those of the model."""
    frozen = model.frozen_names if isinstance(model, PartlyFrozen) else frozenset()
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def load_trained_state(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Load what `trained_state` returned into a model of the same structure.

    Raises:
        RuntimeError: names or shapes are not those of the layers that are trained.
    """
    expected = trained_state(model)
    if len(expected) == len(model.state_dict()):
        model.load_state_dict(weights, strict=True)
        return
    if set(weights) != set(expected):
        names = sorted(set(weights) ^ set(expected))
        raise RuntimeError(f"not the tensors of the layers that are trained: {', '.join(map(str, names[:5]))}")
    model.load_state_dict(weights, strict=False)
