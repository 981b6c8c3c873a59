"""Settings of the training: the section `train` of the config."""

from dataclasses import dataclass, field

from semisup.core.added_setting import added
from semisup.errors import SettingError, check_choice, check_range

SELECTION_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "loss")
"""Validation metrics that can select the best model."""


@dataclass(frozen=True)
class TrainSettings:
    """Settings of the training, of evaluation and of model selection, explained under `train` in `conf/train.yaml`."""

    epochs: int | None
    steps: int | None
    batch_size: int
    eval_batch_size: int
    evaluate_every: int
    evaluate_every_steps: int | None
    select_by: str
    patience: int | None
    refit: bool
    ema_decay: float | None
    ema_warmup: bool
    ema_buffers: bool
    head_first: float = field(metadata=added(0.0))
    max_grad_norm: float | None = field(metadata=added(None))
    accumulate: int = field(metadata=added(1))

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, 1)
        check_range("steps", self.steps, 1)
        if (self.epochs is None) == (self.steps is None):
            raise SettingError(
                "epochs",
                self.epochs,
                "exactly one of train.epochs and train.steps must have a value; set the other to null",
            )
        check_range("batch_size", self.batch_size, 1)
        check_range("eval_batch_size", self.eval_batch_size, 1)
        check_range("evaluate_every", self.evaluate_every, 1)
        check_range("evaluate_every_steps", self.evaluate_every_steps, 1)
        check_choice("select_by", self.select_by, SELECTION_METRICS)
        check_range("patience", self.patience, 1)
        if self.refit and self.patience is not None:
            raise SettingError(
                "patience",
                self.patience,
                "needs validation images, but train.refit=true trains on them; use train.patience=null, "
                "and set train.steps",
            )
        if self.refit and self.select_by != SELECTION_METRICS[0]:
            raise SettingError(
                "select_by",
                self.select_by,
                "needs validation images, but train.refit=true trains on them and uses the last model; "
                "leave train.select_by out",
            )
        check_range("ema_decay", self.ema_decay, 0, 1, below=True)
        check_range("head_first", self.head_first, 0, 1, below=True)
        check_range("max_grad_norm", self.max_grad_norm, 0, above=True)
        check_range("accumulate", self.accumulate, 1)
