"""Check the tensors of a checkpoint before a model loads them, for example for NaN."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semisup.errors import RecordError
from semisup.text import escape

VARIANCE = "running_var"
"""Last part of the name of BatchNorm's running variance; BatchNorm takes its square root."""


def check_weights(path: Path, weights: Any, model: Mapping[str, Tensor]) -> None:
    """Check that the weights of a checkpoint are finite, of the right type and without negative variances.

    Args:
        path: path of the checkpoint, for messages.
        weights: name -> tensor, as loaded.
        model: the state dict of the model.

    Raises:
        RecordError: a tensor is not usable; the message names it.
    """
    if not isinstance(weights, Mapping):
        raise RecordError(f"{path}: contains no weights; use another checkpoint or train again")
    for name, value in weights.items():
        if problem := _problem(str(name), value, model.get(name)):
            raise RecordError(f"{path}: the tensor {escape(name)} {problem}; use another checkpoint or train again")


def check_snapshot(path: Path, snapshot: Mapping[str, Any], model: Mapping[str, Tensor]) -> None:
    """Check all weights in a saved training state: student, EMA model, and best model.

    Args:
        path: path of the checkpoint, for messages.
        snapshot: the training state, as loaded.
        model: the state dict of the model.

    Raises:
        RecordError: a tensor is not usable; the message names it.
    """
    best = snapshot.get("best")
    for weights in (snapshot.get("student"), snapshot.get("average") or {}, best["weights"] if best else {}):
        check_weights(path, weights, model)


def _problem(name: str, value: Any, expected: Tensor | None) -> str:
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}"
    if expected is not None and value.dtype != expected.dtype:
        return f"has dtype {_short(value.dtype)}, but the model has {_short(expected.dtype)}"
    if (value.is_floating_point() or value.is_complex()) and not bool(torch.isfinite(value).all()):
        return "has values that are NaN or infinite"
    if name.rpartition(".")[2] == VARIANCE and bool((value < 0).any()):
        return "has a negative variance"
    return ""


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
