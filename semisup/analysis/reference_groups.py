"""Group the reference runs of a comparison, which are trained on labels only, by kind and settings."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from semisup.analysis.gains import BASELINE, CONTROL, KINDS, LABELS_ONLY
from semisup.analysis.rows import Row, split_of
from semisup.analysis.run_settings import LABELS, FlatSettings, canonical, settings_but_length, sort_key
from semisup.analysis.runs import Run
from semisup.analysis.spread import Spread, over_seeds
from semisup.core.probe_grids import NAMES

PROBE = "probe.classifier"

OLD_CONTROL = "strongly augmented control"
"""Name of the control of runs of version 0.1.0: supervised training with the augmentation of the run."""


@dataclass(frozen=True)
class ReferenceGroup:
    """Reference runs of one kind, such as controls, that differ only in seed and number of steps."""

    kind: str  # control, best labels-only, baseline, or the name of a probe
    settings: FlatSettings
    runs: tuple[Run, ...]
    ensemble: float | None = None  # as in `Row`

    @property
    def name(self) -> str:
        """Name of this kind of reference run in reports."""
        return control_name(self.runs) if self.kind == CONTROL else self.kind

    @property
    def split(self) -> str:
        return split_of(self.runs)

    @property
    def accuracy(self) -> Spread | None:
        """Mean and spread of the accuracy, or balanced accuracy, over seeds.

        Runs of the same seed, which have different numbers of steps, are averaged first.
        """
        return over_seeds(self.runs, self.split)


def control_name(runs: Iterable[Run]) -> str:
    """Return how reports name the runs' controls: `control`, or OLD_CONTROL if semisup 0.1.0 trained all runs."""
    definitions = [run.config.get("definitions", 1) for run in runs]
    return OLD_CONTROL if definitions and max(definitions) < 2 else CONTROL


def group_references(
    rows: list[Row], columns: list[str], flats: dict[str, FlatSettings], labels_only: list[list[Run]], probes: list[Run]
) -> list[ReferenceGroup]:
    """Group the reference runs by kind and settings: controls, best labels-only runs, baselines, then probes.

    Probes are classifiers fitted to the features of an encoder.

    Args:
        labels_only: the best labels-only runs for each number of labels per class.
    """
    groups: dict[tuple[str, str], dict[str, Run]] = defaultdict(dict)
    for row in rows:
        for kind in (CONTROL, BASELINE):
            for run in filter(None, (pair.finished for pair in row.references(kind))):
                groups[kind, settings_but_length(flats[str(run.folder)])][run.id] = run
    shown = [key for key in columns if not key.startswith(("train.", "method.", "threshold."))]
    references = []
    for (kind, _), group in groups.items():
        runs = tuple(group.values())
        keys = [key for key in shown if kind == CONTROL or not key.startswith("augment.")]
        references.append(ReferenceGroup(kind, _named(flats[str(runs[0].folder)], keys), runs))
    references = _with_differences(references, columns, flats)
    number = f"dataset.{LABELS}"
    for alone in labels_only:
        flat = flats[str(alone[0].folder)]
        names = ["method.name", "augment.name", "augment.strength"]
        settings = {PROBE: flat[PROBE]} if PROBE in flat else _named(flat, names)
        settings |= _named(flat, [number] if number in columns and len(labels_only) > 1 else [])
        references.append(ReferenceGroup(LABELS_ONLY, settings, tuple(alone)))
    for run in probes:
        flat = flats[str(run.folder)]
        groups[NAMES[flat[PROBE]], settings_but_length(flat)][run.id] = run
    references += [
        ReferenceGroup(kind, {}, tuple(group.values())) for (kind, _), group in groups.items() if kind not in KINDS
    ]
    order = [*KINDS, *NAMES.values()]
    references.sort(key=lambda group: (order.index(group.kind), [sort_key(group.settings.get(key)) for key in shown]))
    return references


def _with_differences(
    references: list[ReferenceGroup], columns: list[str], flats: dict[str, FlatSettings]
) -> list[ReferenceGroup]:
    """Add the settings in which reference runs of one kind differ, if they have the same settings so far."""
    alike: dict[tuple[str, str], list[FlatSettings]] = defaultdict(list)
    for group in references:
        alike[group.kind, canonical(group.settings)].append(flats[str(group.runs[0].folder)])
    result = []
    for group in references:
        others, own = alike[group.kind, canonical(group.settings)], flats[str(group.runs[0].folder)]
        keys = [key for key in columns if len({canonical(flat.get(key)) for flat in others}) > 1]
        result.append(replace(group, settings=group.settings | _named(own, keys)))
    return result


def _named(flat: FlatSettings, keys: list[str]) -> FlatSettings:
    return {key: flat[key] for key in keys if key in flat}


def roles_of(references: list[ReferenceGroup]) -> dict[str, str]:
    """Map the id of each reference run to its kinds, such as `control` or `control and best labels-only`."""
    kinds: dict[str, dict[str, None]] = defaultdict(dict)
    for group in references:
        for run in group.runs:
            kinds[run.id][group.name] = None
    return {id_: " and ".join(names) for id_, names in kinds.items()}
