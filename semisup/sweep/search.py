"""Search for the best settings with Optuna's TPE sampler (NeurIPS 2011).

No database is used. If the same command is started again, the sampler proposes the same settings for the same results,
and finished runs are reused.
"""

import math
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from semisup.errors import SettingError, first_line
from semisup.record import write_json
from semisup.record.reader import read_json
from semisup.record.rung import selection_metric
from semisup.record.status import RunStatus
from semisup.sweep.halving import ENDED
from semisup.sweep.job_store import JobStore


class Space(NamedTuple):
    """Search space of a sweep: the settings that are searched, and the settings that are fixed.

    swept: key of a searched setting -> its parsed override, which contains the values to search
    fixed: overrides (KEY=VALUE) of the settings with one value
    """

    swept: dict[str, Override]
    fixed: list[str]

    def word(self, key: str, value: object) -> str:
        """Write the override KEY=VALUE of a searched setting.

        If the search space of the setting is `range(start,stop,step)`, a float is rounded to the closest value that a
        grid of this range contains.
        """
        override = self.swept[key].value()
        if isinstance(override, RangeSweep) and isinstance(value, float):
            value = min(override.range(), key=lambda each: abs(each - value))
        return f"{key}={value}"


def parse_space(words: list[str]) -> Space:
    """Parse the overrides of a search; a later override of a key replaces an earlier one."""
    swept: dict[str, Override] = {}
    fixed: dict[str, str] = {}
    for override in OverridesParser.create().parse_overrides(words):
        key = override.get_key_element()
        swept.pop(key, None)
        fixed.pop(key, None)
        if not override.is_sweep_override():
            fixed[key] = str(override.input_line)
        elif override.is_discrete_sweep() and len(values := list(override.sweep_string_iterator())) == 1:
            fixed[key] = f"{key}={values[0]}"
        else:
            swept[key] = override
    return Space(swept, list(fixed.values()))


def integer_interval(word: str) -> str:
    """Convert the interval of an integer setting to an interval of integers, if both ends are whole numbers.

    Hydra reads the ends as floats, so `train.batch_size=interval(16,64)` would give values such as 31.7.

    Args:
        word: override with an interval, such as `train.batch_size=interval(16,64)`.
    """
    override = OverridesParser.create().parse_override(word)
    low, high, log = _ends(override)
    if not all(math.isfinite(end) and end == int(end) for end in (low, high)):
        return word
    interval = f"int(interval({int(low)},{int(high)}))"
    tagged = f"tag(log,{interval})" if log else interval
    return f"{override.get_key_element()}={tagged}"


def end_words(word: str) -> list[str]:
    """Return the overrides (KEY=VALUE) of the two ends of an interval."""
    override = OverridesParser.create().parse_override(word)
    return [f"{override.get_key_element()}={end}" for end in _ends(override)[:2]]


def _ends(override: Override) -> tuple[float, float, bool]:
    """Return the two ends of an interval, and whether it is logarithmic."""
    value = override.value()
    assert isinstance(value, IntervalSweep)
    return value.start or 0, value.end or 0, "log" in value.tags


def search_batches(
    store: JobStore, n_trials: int, n_jobs: int, seed: int, words: list[str], select_by: str
) -> Iterator[list[int]]:
    """Add jobs to the plan of a sweep, chosen by the results of earlier jobs; yield lists of their indices.

    The iteration ends early if a job was not run, because the sweep was stopped.

    Args:
        store: record of the jobs of the sweep.
        n_trials: number of jobs in total.
        n_jobs: number of jobs to choose at once.
        seed: seed of the sampler.
        words: overrides that define the search space.
        select_by: validation metric to optimize (`train.select_by`); the loss is minimized, others are maximized.
    """
    import optuna  # 0.4 s

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = parse_space(words)
    distributions = build_distributions(space)
    metric, sign = selection_metric(select_by)
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="maximize" if sign > 0 else "minimize", sampler=sampler)
    for first in range(0, n_trials, n_jobs):
        trials = [study.ask(distributions) for _ in range(first, min(first + n_jobs, n_trials))]
        jobs = [[*space.fixed, *(space.word(key, value) for key, value in trial.params.items())] for trial in trials]
        store.extend_plan(first, jobs)
        yield [number for number in store.missing_jobs() if first <= number]
        for number, trial in enumerate(trials, start=first):
            entry = store.entry(f"{number:05d}") or {"status": RunStatus.SKIPPED}
            if entry["status"] not in ENDED:
                return
            value = _read_best(entry, metric)
            study.tell(trial, value, state=optuna.trial.TrialState.FAIL if value is None else None)
        _write_results(store, study.trials, sign)
    store.close_plan()


def build_distributions(space: Space) -> dict[str, Any]:
    """Convert the settings to search to distributions of Optuna.

    Raises:
        SettingError: a range is empty or not finite, or a logarithmic range does not begin above 0.
    """
    distributions = {}
    for key, override in space.swept.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about values that are rounded to a multiple of the step
                distributions[key] = _distribution(override)
        except (ValueError, OverflowError) as error:
            typed = str(override.input_line).partition("=")[2]
            allowed = (
                "is not a valid range; type two finite ends, the lower one first, such as interval(0.6,0.99), and for "
            )
            allowed += (
                f"a logarithmic range a lower end above 0, such as tag(log,interval(0.001,0.1)) ({first_line(error)})"
            )
            raise SettingError(key.lstrip("+"), typed, allowed) from None
    return distributions


def _distribution(override: Override) -> Any:
    """Convert an override with several values, or a range, to a distribution of Optuna."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    if isinstance(value, IntervalSweep):
        low, high, log = _ends(override)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("an end is not finite")
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(low, high, log=log)
    if isinstance(value, RangeSweep) and not value.shuffle:
        values = [*value.range()]
        if len(values) > 1 and values[1] > values[0]:
            if isinstance(value.step, int) and all(isinstance(each, int) for each in values):
                return IntDistribution(int(values[0]), int(values[-1]), step=value.step)
            # decimal: Optuna drops the last value if the sum of binary steps is slightly below a multiple of the step
            last = Decimal(str(values[0])) + (len(values) - 1) * Decimal(str(value.step))
            return FloatDistribution(values[0], float(last), step=value.step)
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _read_best(entry: dict[str, Any], metric: str) -> float | None:
    """Read the best value of a validation metric of a recorded job's run; None if the run is not done.

    Args:
        entry: the recorded state of the job.
        metric: name of the metric, such as val/accuracy.
    """
    if entry["status"] != RunStatus.DONE:
        return None
    value = (read_json(Path(entry["folder"]) / "summary.json") or {}).get(f"best/{metric}")
    return None if value is None else float(value)


def _write_results(store: JobStore, trials: list[Any], sign: int) -> None:
    """Write the best settings so far to optimization_results.yaml (as JSON, which is valid YAML).

    Args:
        sign: 1 if higher values are better, -1 if lower values are better.
    """
    done = [trial for trial in trials if trial.value is not None]
    if done:
        best = max(done, key=lambda trial: sign * trial.value)
        results = {"name": "optuna", "best_params": best.params, "best_value": best.value}
        write_json(store.folder / "optimization_results.yaml", results)
