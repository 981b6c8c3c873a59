"""Says when pseudo-labels collapse: when what is kept runs together into few classes, and feeds on itself from there.

    share = H(classes of the kept pseudo-labels) / H(classes of the validation set)        H: entropy

1 is a kept set as varied as the validation set; two of ten equally frequent classes give 0.3, one class 0. A labeling
that keeps fewer than 5 images a class on average says too little to be judged.
"""

import warnings
from collections.abc import Sequence

from torch import Tensor

from semisup.config.sections import CollapseSettings
from semisup.core.events import Event, PoolLabeled
from semisup.core.metrics import normalized_entropy
from semisup.errors import CollapsedError
from semisup.text import printable

FEWEST = 5  # kept images a class, on average


class CollapseWatch:
    """Looks at every labeling of one run.

    Args:
        settings: from where on to warn, and to stop.
        run: what the warning calls it.
        classes: the K names.
        validation: (n,) int64, the true classes of the validation set; -1 = unknown.
    """

    def __init__(self, settings: CollapseSettings, run: str, classes: Sequence[str], validation: Tensor) -> None:
        self.settings, self.run, self.classes = settings, run, classes
        counts = validation[validation >= 0].cpu().bincount(minlength=len(classes))
        self.expected = normalized_entropy(counts) or 0.0
        self.warned = False

    def see(self, event: Event) -> None:
        """Warn, once for each run, or stop.

        Raises:
            CollapsedError: the share is below `stop_below`.
        """
        if not isinstance(event, PoolLabeled) or sum(event.classes.kept) < FEWEST * len(self.classes):
            return
        if not self.expected:
            return
        share = float(event.metrics["pseudo/entropy"] or 0.0) / self.expected
        if _below(share, self.settings.stop_below):
            raise CollapsedError(self._said(event, share, f"stop_below={self.settings.stop_below:g}"))
        if _below(share, self.settings.warn_below) and not self.warned:
            self.warned = True
            said = self._said(event, share, f"warn_below={self.settings.warn_below:g}")
            warnings.warn(f"{self.run}: {said}", stacklevel=2)

    def _said(self, event: PoolLabeled, share: float, setting: str) -> str:
        kept = event.classes.kept
        name, count = printable(self.classes[kept.index(max(kept))]), sum(kept)
        return (
            f"pseudo-labels collapse at step {event.step}: {max(kept) / count:.0%} of the {count} kept are {name}; "
            f"the entropy of their classes is {share:.2f} of validation's, below collapse.{setting}. "
            "A later start (method.gate), a higher threshold.tau or threshold=class_balanced are the usual cures"
        )


def _below(share: float, bound: float | None) -> bool:
    return bound is not None and share < bound
