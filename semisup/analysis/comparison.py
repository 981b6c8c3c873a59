"""What a set of runs says: each beside its control and baseline, then those that differ only in the seed together.

    gain of a run   = 100 (accuracy of the run - accuracy of its control), in percentage points, seed by seed
    mean and spread = arithmetic mean and sample standard deviation over the seeds; one seed has no spread

Accuracy is the test set's, or the validation set's where there is no test set. What is *chosen*, the order of
the rows and the best of them, is chosen on validation alone.
"""

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from semisup.analysis.runs import Run, as_number
from semisup.errors import escape

FlatSettings = dict[str, Any]
"""Dotted keys -> values, the seed left out."""

LENGTHS = ("train.steps", "train.epochs")  # differ between the controls of runs that differ in what they kept


@dataclass(frozen=True)
class Spread:
    """deviation: sample standard deviation; None of a single value."""

    mean: float
    deviation: float | None
    count: int

    @property
    def clear(self) -> bool:
        """The mean is above 0 by more than the spread; never of a single value."""
        return self.deviation is not None and self.mean > self.deviation


def summarize(values: Iterable[float | None]) -> Spread | None:
    """Mean and spread of the values that are there; None of none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


@dataclass(frozen=True)
class ReferenceGain:
    """A finished run beside the run it must be measured against.

    state: "done", the status of the other run, or "missing"
    points: the gain; None unless done
    """

    state: str
    other: Run | None
    points: float | None


@dataclass(frozen=True)
class Row:
    """Finished runs that differ in nothing but the seed, sorted by seed, one a seed."""

    settings: FlatSettings  # of the varied keys, those that it has
    runs: tuple[Run, ...]
    controls: tuple[ReferenceGain, ...]  # one a run; none of labels-only runs
    baselines: tuple[ReferenceGain, ...]

    @property
    def split(self) -> str:
        return split_of(self.runs)

    def accuracy(self, split: str) -> Spread | None:
        return summarize(run.accuracy(split) for run in self.runs)

    def mean(self, name: str) -> float | None:
        found = summarize(run.seconds if name == "seconds" else run.number(name) for run in self.runs)
        return found.mean if found else None

    @property
    def best_run(self) -> Run:
        """The seed that validation likes best; of equals the lowest."""
        return max(self.runs, key=lambda run: (run.accuracy("validation") or 0, -(run.seed or 0)))


@dataclass(frozen=True)
class ReferenceGroup:
    """The controls (or baselines) of some rows that differ in nothing but seed and length.

    accuracy: over seeds, of each seed's mean over lengths
    """

    kind: str  # control or baseline
    settings: FlatSettings
    runs: tuple[Run, ...]
    accuracy: Spread | None
    split: str


@dataclass(frozen=True)
class Comparison:
    """What there is to tell.

    runs: all that was read, unfinished ones and controls too
    flats: of each run folder
    columns: the keys that differ
    rows: best on validation first
    references_of: control and baseline, of each folder of a finished run that uses unlabeled images
    data_set: its name, where there are several beside each other; else ""
    """

    runs: list[Run]
    flats: dict[str, FlatSettings]
    columns: list[str]
    rows: list[Row]
    references: list[ReferenceGroup]
    unfinished: list[Run]
    references_of: dict[str, tuple[ReferenceGain, ReferenceGain]]
    data_set: str = ""

    @property
    def best(self) -> Row | None:
        """The row that validation likes best; one that uses unlabeled images, if there is one."""
        candidates = [row for row in self.rows if row.controls] or self.rows
        return candidates[0] if candidates else None

    def flat(self, run: Run) -> FlatSettings:
        return self.flats[str(run.folder)]

    def roles(self, run: Run) -> str:
        """What the run is for the others: control, baseline, both, or a run of its own."""
        kinds = {reference.kind for reference in self.references for each in reference.runs if each.id == run.id}
        return " and ".join(sorted(kinds, reverse=True)) or "run"


def compare_runs(runs: list[Run], data_set: str = "") -> Comparison:
    """Pair, group and sort; `data_set` is what they are of, where that has to be said."""
    flats = _flats([run for run in runs if run.identity])
    finished = _one_each([run for run in runs if run.done])
    known = {run.id: run for run in [*runs[::-1], *finished]}  # of several folders of one id, the first finished one
    pairs = {
        str(run.folder): (_pair(run, known.get(run.control_id)), _pair(run, known.get(run.baseline_id)))
        for run in finished
        if run.control_id and run.baseline_id
    }
    wanted = {each for run in finished for each in (run.control_id, run.baseline_id) if each}
    own = [run for run in runs if run.identity and run.id not in wanted]
    columns = _varied([flats[str(run.folder)] for run in own])
    groups = defaultdict(list)
    for run in finished:
        if run.id not in wanted:
            groups[canonical(flats[str(run.folder)])].append(run)
    rows = [_row(group, columns, flats, pairs) for group in groups.values()]
    rows.sort(key=lambda row: (-_validation(row), [sort_key(row.settings.get(key)) for key in columns]))
    return Comparison(
        runs=runs,
        flats={str(run.folder): {} for run in runs} | flats,
        columns=columns,
        rows=rows,
        references=_references(rows, columns, flats),
        unfinished=[run for run in runs if not run.done],
        references_of=pairs,
        data_set=data_set,
    )


def split_of(runs: Iterable[Run]) -> str:
    """The split that accuracy is told on: test where every run has it."""
    return "test" if all(run.accuracy("test") is not None for run in runs) else "validation"


def canonical(value: Any) -> str:
    """Equal for equal settings: 1 and 1.0 are one value, true is another."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{canonical(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if type(value) is int else json.dumps(value)


def sort_key(value: Any) -> tuple[int, float, str]:
    """Nothing, then numbers by size, then words."""
    if (size := as_number(value)) is not None:
        return (1, float(size), "")
    return (0, 0.0, "") if value is None else (2, 0.0, canonical(value))


def format_settings(settings: FlatSettings) -> str:
    """`threshold.tau=0.95 augment.strength=0.5`, safe to print."""
    return " ".join(f"{escape(key)}={escape(value)}" for key, value in settings.items())


def _flats(runs: list[Run]) -> dict[str, FlatSettings]:
    """The settings of each run without the seed, nor a split seed that follows the seed.

    One run alone cannot tell whether its split seed follows; those that agree in all else can.
    """
    flats = {str(run.folder): flatten(run.identity) for run in runs}
    alike = defaultdict(list)
    for run in runs:
        flat = flats[str(run.folder)]
        del flat["seed"]
        rest = {key: value for key, value in flat.items() if key != "dataset.split_seed"}
        alike[canonical(rest)].append(run)
    for group in alike.values():
        if all(flats[str(run.folder)].get("dataset.split_seed") == run.seed for run in group):
            for run in group:
                del flats[str(run.folder)]["dataset.split_seed"]
    return flats


def flatten(node: dict[str, Any], prefix: str = "") -> FlatSettings:
    """Nested settings by their dotted keys."""
    flat: FlatSettings = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _varied(flats: list[FlatSettings]) -> list[str]:
    """The keys that take several values, threshold and augmentation first; not to have a key is no value of it."""
    values = defaultdict(set)
    for flat in flats:
        for key, value in flat.items():
            values[key].add(canonical(value))
    varied = [key for key, several in values.items() if len(several) > 1]
    return sorted(varied, key=lambda key: (not key.startswith("threshold."), not key.startswith("augment.")))


def _one_each(runs: list[Run]) -> list[Run]:
    """A run that lies in two experiments is still one run."""
    return list({run.id: run for run in reversed(runs)}.values())[::-1]


def _row(
    group: list[Run],
    columns: list[str],
    flats: dict[str, FlatSettings],
    pairs: dict[str, tuple[ReferenceGain, ReferenceGain]],
) -> Row:
    runs = tuple(sorted({run.seed: run for run in reversed(group)}.values(), key=lambda run: run.seed or 0))
    flat = flats[str(runs[0].folder)]
    found = [pairs[str(run.folder)] for run in runs if str(run.folder) in pairs]
    controls, baselines = tuple(pair[0] for pair in found), tuple(pair[1] for pair in found)
    return Row({key: flat[key] for key in columns if key in flat}, runs, controls, baselines)


def _pair(run: Run, other: Run | None) -> ReferenceGain:
    if other is None:
        return ReferenceGain("missing", None, None)
    if not other.done:
        return ReferenceGain(other.status, other, None)
    split = split_of((run, other))
    ours, theirs = run.accuracy(split), other.accuracy(split)
    assert ours is not None, run.id  # a finished run has its validation accuracy
    assert theirs is not None, other.id
    return ReferenceGain("done", other, 100 * (ours - theirs))


def _references(rows: list[Row], columns: list[str], flats: dict[str, FlatSettings]) -> list[ReferenceGroup]:
    """The controls by what they were varied in, then the baselines."""
    found: dict[tuple[str, str], dict[str, Run]] = defaultdict(dict)
    for row in rows:
        for kind, pairs in (("control", row.controls), ("baseline", row.baselines)):
            for run in (pair.other for pair in pairs if pair.state == "done" and pair.other):
                flat = {key: value for key, value in flats[str(run.folder)].items() if key not in LENGTHS}
                found[kind, canonical(flat)][run.id] = run
    shown = [key for key in columns if not key.startswith(("train.", "method.", "threshold."))]
    references = []
    for (kind, _), group in found.items():
        runs = tuple(group.values())
        flat = flats[str(runs[0].folder)]
        keys = [key for key in shown if key in flat and (kind == "control" or not key.startswith("augment."))]
        settings = {key: flat[key] for key in keys}
        references.append(ReferenceGroup(kind, settings, runs, over_seeds(runs, split_of(runs)), split_of(runs)))
    references.sort(key=lambda each: (each.kind != "control", [sort_key(each.settings.get(key)) for key in shown]))
    return references


def over_seeds(runs: Iterable[Run], split: str) -> Spread | None:
    """Accuracy over seeds; several runs of one seed (other lengths) count by their mean."""
    by_seed = defaultdict(list)
    for run in {run.id: run for run in runs}.values():
        by_seed[run.seed].append(run.accuracy(split))
    each = [summarize(values) for values in by_seed.values()]
    return summarize(value.mean for value in each if value)


def _validation(row: Row) -> float:
    value = row.accuracy("validation")
    return value.mean if value else -math.inf
