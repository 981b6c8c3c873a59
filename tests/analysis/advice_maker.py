"""Make sweeps for the checks of `semisup advise`: real configs and ids, invented numbers."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy

from semisup.analysis.advice.case import Case, split_cases
from semisup.analysis.runs import find_runs, read_runs
from semisup.config.controls import control_config
from semisup.config.run_id import run_id
from tests.report.run_maker import CLASSES, STEPS, make, make_with_references, plain_of, store

LABELINGS: list[tuple[float, float | None]] = [(0.8, 0.95)]


def cell(folder: Path, seed: int, gain: float, *words: str, alone: float = 0.8, val: float = 0.9) -> Path:
    """Make a run with this gain in percentage points over its control; the baseline is much worse."""
    config = plain_of("method=self_training", *words, seed=seed)
    accuracy = alone + gain / 100
    numbers = {"test": accuracy, "control": alone, "baseline": 0.5, "val": val}
    return make_with_references(folder, config, **numbers, labelings=LABELINGS)


def case_of(folder: Path) -> Case:
    (case,) = split_cases(read_runs(find_runs([folder])), folder)
    return case


def with_classes(folder: Path, selected: Sequence[int], validation: Sequence[int], labeled: Sequence[int] = ()) -> None:
    """Write numbers of images of each class: selected, among all pseudo-labels, and in the validation set."""
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(about | {"dataset": {"classes": CLASSES, "fingerprint": "same"}}))
    summary = json.loads((folder / "summary.json").read_text())
    summary["confusion"]["validation"] = numpy.diag(validation).tolist()
    (folder / "summary.json").write_text(json.dumps(summary))
    with (folder / "classes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("round", "epoch", "step", "class", "labeled", "kept", "coverage", "accuracy", "threshold"))
        for round_, counts in ((1, (9, 9, 9)), (2, selected)):
            for name, count, of_all in zip(CLASSES, counts, labeled or counts, strict=True):
                rows.writerow((round_, 1, 1, name, of_all, count, 0.5, "", 0.9))


def with_counts(folder: Path, labeled: int) -> None:
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(
        json.dumps(about | {"dataset": {"classes": CLASSES, "counts": {"labeled": labeled}}})
    )


def two_cells(folder: Path, better: int, worse: int, images: int, seeds: int = 1) -> Case:
    """Make two settings: the first is correct where the second is not on `better` images, and conversely on `worse`."""
    for seed in range(seeds):
        for number, tau in enumerate((0.9, 0.8)):
            run = cell(folder, seed, 3, f"threshold.tau={tau}", val=0.9 - 0.1 * number)
            first = [number == 0] * better + [number == 1] * worse
            store(run, validation=[(0, each) for each in first + [True] * (images - better - worse)])
    return case_of(folder)


def with_half_of_the_labels(
    folder: Path, gains: Sequence[float], rises: Sequence[float], *, alone: float = 0.8
) -> Case:
    """Make a setting with these gains over its control, and controls with 20 of the 40 labels, worse by `rises`."""
    for seed, (gain, rise) in enumerate(zip(gains, rises, strict=True)):
        run = cell(folder, seed, gain, "dataset.labels_per_class=4", alone=alone)
        config = plain_of("method=self_training", "dataset.labels_per_class=4", seed=seed)
        control = control_config(config, {"steps": STEPS})
        half = control | {"dataset": control["dataset"] | {"labels_per_class": 2}}
        fewer = make(folder, half, val=0.6, test=alone - rise / 100, steps=STEPS)
        for each, count in ((run, 40), (folder / run_id(control), 40), (fewer, 20)):
            with_counts(each, count)
    return case_of(folder)


def with_curves(
    folder: Path, unlabeled: float, validation: float = 0.5, *, images: tuple[int, int] = (1000, 400), val: float = 0.9
) -> None:
    """Write threshold curves of two labelings: shares of the images whose confidence is at least 0.7.

    Args:
        images: numbers of unlabeled and of validation images.
        val: validation accuracy at the second labeling; at the first it is 0.3.
    """
    about = json.loads((folder / "run.json").read_text())
    dataset = {"classes": CLASSES, "counts": {"unlabeled": images[0], "validation": images[1], "labeled": 40}}
    (folder / "run.json").write_text(json.dumps(about | {"dataset": dataset}))
    rows: list[tuple[object, ...]] = [("step", "epoch", "on", "tau", "coverage", "accuracy")]
    for step, accuracy, shares in ((10, 0.3, (0.2, 0.5)), (20, val, (unlabeled, validation))):
        for name, share in zip(("pool", "validation"), shares, strict=True):
            shape = ((0, 1, accuracy), (0.7, share, 0.9), (0.99, 0, ""))
            rows += [(step, step, name, *point) for point in shape]
    with (folder / "what_if.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
