"""Find cross-validation folds without finished runs, and measure how much the training sets of the folds overlap."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from semisup.analysis.runs import Run

MOST_NAMED = 3
"""Maximum number of settings that `incomplete_folds` names."""


def fold_count(run: Run) -> int | None:
    """Return the number of cross-validation folds of a run's labeled images; None without folds."""
    folds = run.identity.get("dataset", {}).get("folds")
    return folds if run.fold is not None and isinstance(folds, int) and folds > 1 else None


def overlap(runs: Sequence[Run]) -> float:
    """Compute n_test / n_train of cross-validation: the number of held-out labels / the number of training labels.

    Confidence intervals depend on this ratio, because the training sets of the folds overlap.

    Returns:
        1 / (folds - 1); 0 if there are no folds, or if all runs hold out the same images.
    """
    counts = {fold_count(run) for run in runs}
    folds = counts.pop() if len(counts) == 1 else None
    same_images = len({run.fingerprint for run in runs} - {None}) == 1
    return 0.0 if folds is None or same_images else 1 / (folds - 1)


def missing_folds(runs: Iterable[Run]) -> list[int]:
    """Return the indices of the cross-validation folds that at least one seed has no run of.

    Args:
        runs: the finished runs of one setting.
    """
    done: dict[int | None, set[int]] = defaultdict(set)
    folds = 0
    for run in runs:
        if (count := fold_count(run)) is not None and run.fold is not None:
            done[run.seed].add(run.fold)
            folds = count
    return [fold for fold in range(folds) if any(fold not in of_seed for of_seed in done.values())]


def incomplete_folds(rows: Sequence[tuple[str, Sequence[Run]]]) -> str:
    """Write one sentence that names the settings with unfinished folds; "" if all folds are finished.

    Args:
        rows: (text of the settings, finished runs) of each combination of settings; the text is "" if no settings
            differ.
    """
    lacking = [(name, missing, runs) for name, runs in rows if (missing := missing_folds(runs))]
    if not lacking:
        return ""
    named = []
    for name, missing, runs in lacking[:MOST_NAMED]:
        folds = ",".join(map(str, missing))
        named.append(f"dataset.fold={folds} of {fold_count(runs[0])} folds{f' with {name}' if name else ''}")
    more = f", and folds of {len(lacking) - MOST_NAMED} more settings" if len(lacking) > MOST_NAMED else ""
    return f"Not all folds are finished: {'; '.join(named)}{more} are missing, so the means are over the other folds."


def repeated_by(runs: Sequence[Run]) -> str:
    """Return what the runs of one setting differ in: `seeds`, `folds`, or `seeds and folds`."""
    if all(run.fold is None for run in runs):
        return "seeds"
    return "folds" if len({run.seed for run in runs}) == 1 else "seeds and folds"


def repetitions(runs: Sequence[Run]) -> str:
    """Describe the repetitions of a setting: `over 3 seeds`, `over 10 runs (2 seeds, 5 folds)`, ..."""
    count, seeds = len(runs), len({run.seed for run in runs})
    if runs[0].fold is None:
        return "with one seed" if count == 1 else f"over {count} seeds"
    folds = len({run.fold for run in runs})
    if seeds == 1:
        return "on one fold" if count == 1 else f"over {count} folds"
    return f"over {count} runs ({seeds} seeds, {folds} fold{'s' if folds > 1 else ''})"
