"""Save and load the part of a model's state that training can change.

Training does not change the layers of a frozen encoder. Therefore a checkpoint contains only the other layers, and the
sha256 digest of the weights file of the encoder.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class PartlyFrozen(Protocol):
    """Interface of a network with frozen layers, which training does not change.

    frozen_names: keys of the frozen layers in the state dict of the network; empty if no weights file was loaded
    weights_sha256: sha256 digest of the weights file of the frozen layers; None if no weights file was loaded
    """

    frozen_names: frozenset[str]
    weights_sha256: str | None


def frozen_digest(model: nn.Module) -> str | None:
    """Return the sha256 of the weights file of a model's frozen layers; None if no layer is frozen."""
    return model.weights_sha256 if isinstance(model, PartlyFrozen) and model.frozen_names else None


def trained_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of a model without the tensors of frozen layers; the tensors are not copied."""
    frozen = model.frozen_names if isinstance(model, PartlyFrozen) else frozenset()
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def load_trained_state(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Load weights into the layers of a model that are not frozen.

    Raises:
        RuntimeError: `weights` does not have exactly the names and shapes of the tensors of these layers.
    """
    expected = trained_state(model)
    if len(expected) == len(model.state_dict()):
        model.load_state_dict(weights, strict=True)
        return
    if set(weights) != set(expected):
        names = sorted(set(weights) ^ set(expected))
        raise RuntimeError(
            "the saved tensors do not match the trained layers of the model; names that differ: "
            f"{', '.join(map(str, names[:5]))}"
        )
    model.load_state_dict(weights, strict=False)
