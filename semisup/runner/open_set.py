"""Warn about classes without unlabeled images, classes with one labeled image, and a `reject` that accepts no image."""

import warnings

from semisup.core.events import Event, PoolLabeled
from semisup.dataset import Data
from semisup.reject import Reject
from semisup.text import listed, printable

MOST_NAMED = 5
SEVERAL = 5


class RejectWatch:
    """Warns once during a run if the option `reject` rejects every unlabeled image.

    Args:
        reject: the option of the group `reject`.
        run: id of the run, for the warning.
    """

    def __init__(self, reject: object, run: str) -> None:
        self.reject, self.run = reject, run
        self.warned = False

    def on_event(self, event: Event) -> None:
        """Warn, once, if the event is a labeling of the unlabeled set in which `reject` rejects every image."""
        if self.warned or not isinstance(event, PoolLabeled) or event.scores is None or len(event.scores) == 0:
            return
        limit = float(event.metrics["pseudo/reject_limit"] or 0.0)
        if bool((event.scores < limit).all()):
            self.warned = True
            low, high = float(event.scores.min()), float(event.scores.max())
            assert isinstance(self.reject, Reject)
            key = "limit" if self.reject.keep is None else "keep"
            warnings.warn(
                f"{self.run}: reject.{key}={getattr(self.reject, key):g} rejects all {len(event.scores)} unlabeled "
                f"images at step {event.step}: their scores are between {low:.4g} and {high:.4g}, and the limit is "
                f"{limit:.4g}; use a {'lower limit' if key == 'limit' else 'larger share'}",
                stacklevel=2,
            )


def warn_of_other_classes(data: Data, *, rejects: bool) -> None:
    """Warn about unlabeled images whose true classes do not fit the run.

    There are three warnings: no image belongs to one of the classes; a class has no images; `reject` is used, but there
    are no images of other classes to reject. If the true class of an image is unknown, nothing is checked.

    Args:
        rejects: whether the run has an option `reject` other than `none`.
    """
    truth, count = data.hidden_targets, len(data.classes)
    if len(truth) == 0 or bool((truth < 0).any()):
        return
    images = truth.bincount(minlength=count + 1).tolist()
    if images[count] == len(truth):
        warnings.warn(
            f"none of the {len(truth)} unlabeled images belongs to one of the {count} classes, so every pseudo-label "
            "is wrong",
            stacklevel=2,
        )
    elif missing := [
        printable(name, 60) for name, number in zip(data.classes, images[:count], strict=True) if not number
    ]:
        names = listed(missing[:MOST_NAMED] + ["others"] * (len(missing) > MOST_NAMED), "and")
        warnings.warn(f"no unlabeled image belongs to the class{'es' * (len(missing) > 1)} {names}", stacklevel=2)
    if rejects and images[count] == 0:
        warnings.warn(
            f"all {len(truth)} unlabeled images belong to the {count} classes, so reject can only remove images of "
            "these classes; use reject=none, or leave classes out with dataset.only_classes",
            stacklevel=2,
        )


def warn_of_single_images(data: Data) -> None:
    """Warn about classes that have a single labeled image, if another class has at least SEVERAL.

    Not called for data sets whose settings select these numbers (`dataset.imbalance`).
    """
    images = data.labeled.targets.bincount(minlength=len(data.classes)).tolist()
    single = [printable(name, 60) for name, number in zip(data.classes, images, strict=True) if number == 1]
    if not single or max(images) < SEVERAL:
        return
    names = listed(single[:MOST_NAMED] + ["others"] * (len(single) > MOST_NAMED), "and")
    subject = f"classes {names} have" if len(single) > 1 else f"class {names} has"
    largest = printable(data.classes[images.index(max(images))], 60)
    warnings.warn(
        f"the {subject} only 1 labeled image{' each' * (len(single) > 1)}, but {largest} has {max(images)}; label more "
        "images, or try the losses for rare classes in docs/long_tail.md",
        stacklevel=2,
    )
