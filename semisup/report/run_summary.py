"""What one run's record tells, as lines for a terminal; `_run_report` tells more, as a page."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from semisup.analysis.comparison import canonical, flatten
from semisup.analysis.run_history import chosen_before_selection, read_metric_rows
from semisup.analysis.runs import Run, as_number, is_run, read_run
from semisup.config import schema
from semisup.errors import RecordError, SettingError
from semisup.runtime.text import printable, shell_quote

BLOCKS, LETTERS = "▁▂▃▄▅▆▇█", "_.-:=+*#"
WIDTH = 48  # of a line of blocks
MOST_ROUNDS = 12
CURVES = ("val/accuracy", "train/accuracy", "val/loss", "train/loss")
NOT_OF_INTEREST = ("name", "output_root")


def show_run(folder: Path, console: Console) -> int:
    """Print.

    Returns:
        0, also where parts of the record cannot be read: that is said.

    Raises:
        RecordError: the folder is not that of a run.
    """
    if not is_run(folder):
        raise RecordError(f"{shell_quote(folder)}: not the folder of a run (config.yaml, run.json)")
    found = read_run(folder)
    rows = list(read_metric_rows(folder))
    _print(console, f"{printable(found.id)}: {found.status}", found.reason, _cost(found))
    _print(console, "", "settings that differ from the defaults:", *(f"  {line}" for line in _settings(found)))
    for title, lines in (("how it went:", _curves(rows, console)), ("labelings of the pool:", _rounds(rows))):
        if lines:
            _print(console, "", title, *(f"  {line}" for line in lines))
    _print(console, "", *_results(found))
    plots = sorted(path.name for path in (folder / "plots").glob("*.png"))
    _print(console, f"plots: {shell_quote(folder / 'plots')} ({', '.join(map(printable, plots)) or 'none'})")
    if found.identity:
        _print(console, f"again: semisup reproduce {shell_quote(folder)}")
    return 0


def _print(console: Console, *lines: str) -> None:
    """The first line even if it is empty, for a gap; the others where there is something in them."""
    for position, line in enumerate(lines):
        if line or position == 0:
            console.print(line, markup=False)


def _cost(run: Run) -> str:
    return "" if run.seconds is None else f"{run.seconds:.0f} s"


# Settings -----------------------------------------------------------------------------------------------------------


class ChangedSettings(NamedTuple):
    """Those that differ from the defaults: key, value, default ("" where there is none), each visible.

    said: why there are none, or none to be had; "" where there are some
    """

    rows: list[tuple[str, str, str]]
    said: str


def changed_settings(run: Run) -> ChangedSettings:
    """Of the options that the run chose."""
    if not run.identity:
        return ChangedSettings([], "config.yaml cannot be read")
    try:
        found = [(printable(key), printable(value), default) for key, value, default in _differing(run.config)]
    except SettingError as error:
        return ChangedSettings([], f"(the defaults of its options are not to be had: {printable(error)})")
    return ChangedSettings(found, "" if found else "none")


def _settings(run: Run) -> list[str]:
    """`threshold.tau=0.7 (default 0.95)`."""
    found = changed_settings(run)
    lines = [f"{key}={value}" + (f" (default {default})" if default else "") for key, value, default in found.rows]
    return lines or [found.said]


def _differing(config: dict[str, Any]) -> Iterable[tuple[str, Any, str]]:
    """Key, value and default; "" where there is none: of a value that must be given."""
    from semisup.config.compose import defaults  # and with it Hydra

    standard = defaults([])
    nodes = {node: config[node].get("name") for node in schema.GROUP_NODES if isinstance(config.get(node), dict)}
    for node, name in nodes.items():
        if name != standard[node]["name"]:
            yield node, name, printable(standard[node]["name"])
    words = [
        f"{group if node == group else f'{group}@{node}'}={nodes[node]}" for node, group in schema.GROUP_NODES.items()
    ]
    own = flatten(defaults([*words, f"seed={config['seed']}"])) | {"seed": standard["seed"]}  # others may follow it
    for key, value in flatten(config).items():
        other = own.get(key)
        if key not in NOT_OF_INTEREST and other != "auto":
            same = key in own and canonical(other) == canonical(value)
            if not same and not key.endswith(".name"):
                yield key, value, "" if key not in own or other == "???" else printable(other)


# What happened ------------------------------------------------------------------------------------------------------


def _curves(rows: list[dict[str, Any]], console: Console) -> list[str]:
    """A line of blocks for each curve: from its lowest to its highest value."""
    blocks = BLOCKS if console.encoding.lower().startswith("utf") else LETTERS
    lines = []
    for name in CURVES:
        values = [value for row in rows if (value := as_number(row.get(name))) is not None]
        if values:
            lines.append(f"{name:<15}{_blocks(values, blocks):<{WIDTH}}  {values[0]:.3f} first, {values[-1]:.3f} last")
    return lines


def _blocks(values: list[float], blocks: str) -> str:
    low, high = min(values), max(values)
    step = max(len(values) / WIDTH, 1)
    picked = [values[int(position * step)] for position in range(min(len(values), WIDTH))]
    return "".join(blocks[round((value - low) / ((high - low) or 1) * (len(blocks) - 1))] for value in picked)


def _rounds(rows: list[dict[str, Any]]) -> list[str]:
    """A table of the last labelings: what was used, how much of it was right, what it had to reach."""
    labelings = [row for row in rows if "pseudo/round" in row]
    if not labelings:
        return []
    lines = [f"{'round':>6}{'epoch':>7}{'step':>8}{'coverage':>10}{'right':>9}{'threshold':>11}"]
    if len(labelings) > MOST_ROUNDS:
        lines.append(f"{'...':>6}")
    for row in labelings[-MOST_ROUNDS:]:
        shares = [_percent(row.get(f"pseudo/{name}")) for name in ("coverage", "accuracy")]
        places = [_whole(row.get(name)) for name in ("pseudo/round", "epoch", "step")]
        threshold = _digits(row.get("pseudo/threshold"))
        lines.append(f"{places[0]:>6}{places[1]:>7}{places[2]:>8}{shares[0]:>10}{shares[1]:>9}{threshold:>11}")
    return lines


def _percent(value: Any) -> str:
    return _said(value, ".1f", 100, " %")


def _whole(value: Any) -> str:
    return _said(value, ".0f")


def _digits(value: Any) -> str:
    return _said(value, ".3f")


def _said(value: Any, form: str, unit: int = 1, after: str = "") -> str:
    found = as_number(value)
    return "-" if found is None else f"{unit * found:{form}}{after}"


def _results(run: Run) -> list[str]:
    """What the model that validation chose is worth."""
    if not run.done:
        return []
    where = f"step {_whole(run.summary.get('best/step'))}, epoch {_whole(run.summary.get('best/epoch'))}"
    lines = [
        f"validation accuracy {_percent(run.accuracy('validation'))}, at {where}, of {_whole(run.number('steps'))}"
    ]
    if early := chosen_before_selection(run):
        lines.append(f"that is before its first pseudo-label counted (step {early[1]:.0f})")
    if run.accuracy("test") is not None:
        lines.append(f"test accuracy {_percent(run.accuracy('test'))}")
    return lines
