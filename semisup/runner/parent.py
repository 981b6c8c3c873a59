"""Check that the data of a run fit its parent run (`from.run`), the finished run whose best model it starts from."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from semisup.analysis.run_history import read_predictions
from semisup.config.schema import RunConfig
from semisup.dataset import Data
from semisup.errors import SettingError
from semisup.record.reader import read_json, read_section
from semisup.text import escape, escape_line, printable

HELD_OUT = ("validation", "test")
"""Splits whose images are not used for training."""


def check_same_classes(run_config: RunConfig, classes: Sequence[str]) -> None:
    """Raise SettingError if the parent run (`from.run`) has other classes, or the same ones in another order."""
    run = run_config.settings.parent.run
    if run is None or run_config.elsewhere:
        return
    before = read_section(read_json(Path(run) / "run.json") or {}, "dataset").get("classes")
    if before != list(classes):
        then = printable(", ".join(map(str, before)) if isinstance(before, list) else before)
        raise SettingError(
            "from.run",
            run,
            f"its classes are {then}, and those of the data are {printable(', '.join(classes))}; both must be the same",
        )


def warn_of_trained_images(run_config: RunConfig, data: Data) -> None:
    """Warn if the parent run (`from.run`) may have been trained on validation or test images of this run.

    The accuracy on such images would be too high. The warning is about images that are not recorded as validation or
    test images of the parent run.
    """
    run = run_config.settings.parent.run
    if run is None:
        return
    held_out = {row.path for split in HELD_OUT for row in read_predictions(Path(run), split) or ()}
    for split in HELD_OUT:
        paths = [escape_line(path) for path in getattr(data, split).paths]
        if count := sum(path not in held_out for path in paths):
            warnings.warn(
                f"from.run={escape(run)}: {count} of {len(paths)} {split} images were neither validation nor test "
                "images of that run, so its model may have trained on them, and their accuracy may be too high; use "
                "the same split (dataset.split_seed)",
                stacklevel=2,
            )
