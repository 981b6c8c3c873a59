"""Detect collapse: nearly all of the selected pseudo-labels belong to a few classes.

    share = H(classes of the selected pseudo-labels) / H(classes of the validation images)        H: entropy

The share is 1 if both have the same class distribution. If all classes are equally frequent in the validation set, it
is 0.3 if the pseudo-labels have two of ten classes, and 0 if they have one class. A refit (`train.refit`) has no
validation images; the labeled images are used instead.
"""

import warnings
from collections.abc import Sequence

from torch import Tensor

from semisup.config.sections import CollapseSettings
from semisup.core.events import Event, PoolLabeled
from semisup.core.metrics import normalized_entropy
from semisup.errors import CollapsedError
from semisup.text import printable

MIN_IMAGES_PER_CLASS = 5  # selected, on average


class CollapseWatch:
    """Check of the pseudo-labels of a run for collapse; `share` is defined at the top of this module.

    Args:
        settings: limits of the share for a warning and for stopping the run.
        run: id of the run, for the warning.
        classes: names of the K classes.
        validation: (n,) int64, the true classes of the n validation images, or of the labeled images in a refit; -1 =
            unknown.
    """

    def __init__(self, settings: CollapseSettings, run: str, classes: Sequence[str], validation: Tensor) -> None:
        self.settings, self.run, self.classes = settings, run, classes
        counts = validation[validation >= 0].cpu().bincount(minlength=len(classes))
        self.expected = normalized_entropy(counts) or 0.0
        self.warned = False

    def on_event(self, event: Event) -> None:
        """Check the pseudo-labels in an event, and print a warning at the first collapse.

        Labelings with fewer than 5 selected images per class on average are not checked.

        Raises:
            CollapsedError: the share is below the setting `stop_below`.
        """
        if not isinstance(event, PoolLabeled) or sum(event.classes.kept) < MIN_IMAGES_PER_CLASS * len(self.classes):
            return
        if not self.expected:
            return
        share = float(event.metrics["pseudo/entropy"] or 0.0) / self.expected
        if _below(share, self.settings.stop_below):
            raise CollapsedError(self._message(event, share, f"stop_below={self.settings.stop_below:g}"))
        if _below(share, self.settings.warn_below) and not self.warned:
            self.warned = True
            message = self._message(event, share, f"warn_below={self.settings.warn_below:g}")
            warnings.warn(f"{self.run}: {message}", stacklevel=2)

    def _message(self, event: PoolLabeled, share: float, setting: str) -> str:
        kept = event.classes.kept
        name, count = printable(self.classes[kept.index(max(kept))]), sum(kept)
        return (
            f"pseudo-labels collapse at step {event.step}: {max(kept) / count:.0%} of the {count} selected are {name}; "
            f"the entropy of their classes is {share:.2f} times that of the validation "
            f"images, below collapse.{setting}. "
            "Try a higher method.gate, a higher threshold.tau or threshold=class_balanced"
        )


def _below(share: float, bound: float | None) -> bool:
    return bound is not None and share < bound
