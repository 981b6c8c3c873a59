"""No correction: pseudo-labels are computed from the logits of the model."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from semisup.core.types import StateDict


@dataclass(frozen=True)
class NoDebiasing:
    """No correction; it has no settings."""

    corrects: ClassVar[bool] = False
    changes_loss: ClassVar[bool] = False

    def init(self, num_classes: int) -> StateDict:
        return {}

    def observe(self, logits: Tensor, memory: StateDict, *, whole: bool) -> StateDict:
        return memory

    def shift(self, memory: StateDict) -> Tensor | None:
        return None

    def margin(self, memory: StateDict) -> Tensor | None:
        return None
