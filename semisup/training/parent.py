"""Start a training from the best model of a finished run, the parent run (`from.run`).

`from.checkpoint` names the checkpoint of the parent run. The name contains a digest of the checkpoint's content.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from semisup.core.partial_state import load_trained_state, trained_state
from semisup.errors import RecordError, SettingError, first_line
from semisup.record import checkpoint
from semisup.record.weights_check import check_weights
from semisup.text import escape, printable


@dataclass(frozen=True)
class ParentSettings:
    """Settings of the parent run, explained under `from` in `conf/train.yaml`."""

    run: str | None
    checkpoint: str | None

    def load(self, model: nn.Module) -> None:
        """Copy the weights of the parent run into a model; without a parent run, leave the model unchanged.

        Raises:
            RecordError: the checkpoint is missing or damaged.
            SettingError: the weights have other shapes than those of the model, because the images of the parent run
                have another size or another number of channels.
        """
        if self.run is None or self.checkpoint is None:
            return
        path = Path(self.run) / "checkpoints" / self.checkpoint
        weights, expected = checkpoint.load(path).get("weights") or {}, trained_state(model)
        check_weights(path, weights, expected)
        for name, value in expected.items():
            if name in weights and weights[name].shape != value.shape:
                then, now = (list(each.shape) for each in (weights[name], value))
                allowed = f"its tensor {escape(name)} has the shape {then}, and that of this run {now}; use images of "
                raise SettingError("from.run", self.run, f"{allowed}the same size and number of channels")
        try:
            load_trained_state(model, weights)
        except (RuntimeError, TypeError, KeyError) as error:
            raise RecordError(f"{path}: not the weights of this run's model ({printable(first_line(error))})") from None
