"""Make run directories as semisup writes them, without training: real configs and ids, invented numbers."""

import copy
import csv
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import yaml
from numpy.typing import NDArray

from semisup.analysis.runs import Run, read_run
from semisup.config import schema
from semisup.config.controls import baseline_config, control_config
from semisup.config.run_id import run_id
from semisup.record.probabilities import FILE, encode_probabilities
from tests.conftest import checked

IMAGES = 200  # evaluated, of each split
STEPS, LABELED_STEPS = 1200, 300
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text; the one in C is ten times as fast
CLASSES = ("a", "b", "c")
Array = NDArray[Any]


@functools.cache
def _composed(*groups: str) -> schema.ConfigDict:
    return checked("device=cpu", "name=mine", *groups).config


def plain_of(*overrides: str, seed: int = 0) -> schema.ConfigDict:
    """A config as semisup saves it: its groups are composed and validated, then values and seed are set."""
    pairs = [each.partition("=")[::2] for each in overrides]
    plain = copy.deepcopy(_composed(*(f"{key}={value}" for key, value in pairs if "." not in key)))
    plain["seed"] = plain["dataset"]["split_seed"] = seed
    for key, value in pairs:
        group, _, inner = key.partition(".")
        if inner:
            plain[group][inner] = yaml.safe_load(value)
    return plain


def make(
    experiment: Path,
    plain: schema.ConfigDict,
    *,
    val: float = 0.8,
    test: float | None = 0.75,
    status: str = "done",
    error: dict[str, str] | None = None,
    labelings: list[tuple[float, float | None]] | None = None,
    steps: int = STEPS,
    labeled_steps: int = LABELED_STEPS,
    seconds: float = 12.5,
) -> Path:
    """Make one run directory; labelings: coverage and pseudo-accuracy of each round."""
    id_ = run_id(plain)
    folder = experiment / id_
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.dump(plain, Dumper=DUMPER, sort_keys=False))
    about = {"schema": 1, "id": id_, "name": plain["name"], "status": status, "error": error, "seconds": seconds}
    (folder / "run.json").write_text(json.dumps(about))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _metrics(val, labelings or [])))
    if status == "done":
        (folder / "summary.json").write_text(json.dumps(_summary(val, test, steps, labeled_steps)))
    return folder


def make_with_references(
    experiment: Path,
    plain: schema.ConfigDict,
    *,
    test: float | None,
    control: float | None,
    baseline: float | None,
    **rest: Any,
) -> Path:
    """Make a run, and its control and baseline unless they exist."""
    folder = make(experiment, plain, test=test, **rest)
    summary = {"steps": rest.get("steps", STEPS), "labeled_steps": rest.get("labeled_steps", LABELED_STEPS)}
    references = ((control_config(plain, summary), control), (baseline_config(plain, summary), baseline))
    for reference, accuracy in references:
        if accuracy is not None and not (experiment / run_id(reference)).exists():
            on_test = None if test is None else accuracy
            make(experiment, reference, val=accuracy, test=on_test, steps=reference["train"]["steps"])
    return folder


def store(
    folder: Path,
    test: Array | None = None,
    targets: Sequence[int] = (),
    *,
    validation: Sequence[tuple[int, bool]] = (),
    paths: Sequence[str] | None = None,
    classes: Sequence[str] = CLASSES,
    fingerprint: str = "same",
) -> Run:
    """Write the predictions of a made-up run.

    Args:
        test: (n, K) class probabilities on the test images.
        targets: (n,) their classes.
        validation: class of each validation image, and whether it is correct.
        paths: (n,) of the test images.
        fingerprint: of the data set, which covers the labeled images.
    """
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(
        json.dumps(about | {"dataset": {"classes": list(classes), "fingerprint": fingerprint}})
    )
    rows, probabilities = [], []
    for number, (target, correct) in enumerate(validation):
        predicted = target if correct else (target + 1) % 3
        rows.append(("validation", f"v{number}", classes[target], classes[predicted], 1))
        probabilities.append(numpy.eye(3)[predicted])
    test = numpy.zeros((0, 3)) if test is None else test
    names = paths or [f"t{number}" for number in range(len(test))]
    for path, target, row in zip(names, targets, test, strict=True):
        rows.append(("test", path, classes[target], classes[int(row.argmax())], round(float(row.max()), 6)))
        probabilities.append(row)
    with (folder / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("split", "path", "class", "predicted", "confidence"), *rows])
    (folder / FILE).write_bytes(encode_probabilities(numpy.array(probabilities, numpy.float32).reshape(-1, 3)))
    return read_run(folder)


def _metrics(val: float, labelings: list[tuple[float, float | None]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for epoch in range(4):
        rows.append({"step": 10 * epoch, "epoch": epoch, "train/loss": 0.5, "val/accuracy": val, "train_seconds": 0.1})
        if epoch < len(labelings):
            coverage, accuracy = labelings[epoch]
            told = {"pseudo/round": epoch + 1, "pseudo/coverage": coverage, "pseudo/accuracy": accuracy}
            rows.append({"step": 10 * epoch, "epoch": epoch, **told})
    return rows


def _summary(val: float, test: float | None, steps: int, labeled_steps: int) -> dict[str, Any]:
    summary: dict[str, Any] = {
        "steps": steps,
        "epochs": 30,
        "labeled_steps": labeled_steps,
        "best/step": 10,
        "best/epoch": 1,
    }
    summary |= {"best/val/accuracy": val, "best/val/loss": 0.6, "confusion": {"validation": _confusion(val)}}
    if test is not None:
        summary |= {"test/accuracy": test, "test/loss": 0.7}
        summary["confusion"]["test"] = _confusion(test)
    return summary


def _confusion(accuracy: float) -> list[list[int]]:
    right = round(accuracy * IMAGES)
    return [[right, IMAGES - right], [0, 0]]
