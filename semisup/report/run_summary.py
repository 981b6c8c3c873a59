"""Print the settings and results of one run; `html/run_page.py` renders a page with more details."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from semisup.analysis.diagnosis import unused_reason
from semisup.analysis.run_history import chosen_before_selection, read_metric_rows
from semisup.analysis.run_settings import canonical, flatten
from semisup.analysis.runs import NO_ACCURACY, PARSE_ERRORS, Run, as_number, read_run
from semisup.config.nodes import GROUP_NODES
from semisup.record.run_check import check_run
from semisup.report.format_numbers import format_number, format_percent
from semisup.text import printable, shell_quote

BLOCKS, LETTERS = "▁▂▃▄▅▆▇█", "_.-:=+*#"
WIDTH = 48  # letters of a curve
MAX_ROUNDS = 12
CURVES = ("val/accuracy", "train/accuracy", "val/loss", "train/loss")
ENTROPY, REJECT_LIMIT = "pseudo/entropy", "pseudo/reject_limit"
ROUND_METRICS = (
    ("entropy", ENTROPY),
    ("rejected", "pseudo/rejected"),
    ("limit", REJECT_LIMIT),
    ("other", "pseudo/other"),
    ("AUROC", "pseudo/reject_auroc"),
)
"""(title, metric) of columns in the table of rounds; runs without the metric do not have the column."""
IGNORED_SETTINGS = ("name", "output_root")


def show_run(folder: Path, console: Console) -> Run:
    """Print the settings and results of a run; if a file cannot be read, name it.

    Returns:
        The run that was read from `folder`.

    Raises:
        RecordError: the folder is not a run directory.
    """
    check_run(folder)
    run = read_run(folder)
    rows = list(read_metric_rows(folder))
    _print(console, f"{printable(run.id)}: {run.status}", run.reason, _duration(run))
    _print(console, "", "settings that differ from the defaults:", *(f"  {line}" for line in _settings(run)))
    for title, lines in (("training:", _curves(rows, console)), ("labelings of the unlabeled set:", _rounds(rows))):
        if lines:
            _print(console, "", title, *(f"  {line}" for line in lines))
    _print(console, "", *_results(run, rows))
    plots = sorted(path.name for path in (folder / "plots").glob("*.png"))
    if plots:
        _print(console, f"plots: {shell_quote(folder / 'plots')} ({', '.join(map(printable, plots))})")
    if run.identity:
        _print(console, f"again: semisup reproduce {shell_quote(folder)}")
    return run


def _print(console: Console, *lines: str) -> None:
    """Print lines. Empty lines are left out, except the first one."""
    for number, line in enumerate(lines):
        if line or number == 0:
            console.print(line, markup=False)


def _duration(run: Run) -> str:
    return "" if run.seconds is None else f"{run.seconds:.0f} s"


# Settings -----------------------------------------------------------------------------------------------------------


class ChangedSettings(NamedTuple):
    """Settings of a run that differ from the defaults, as printable text.

    rows: (key, value, default) of each setting; the default is "" if there is none
    message: text to print if there are no rows; else ""
    """

    rows: list[tuple[str, str, str]]
    message: str


def changed_settings(run: Run) -> ChangedSettings:
    """Find the settings of a run that differ from the defaults of the installed version."""
    if not run.identity:
        return ChangedSettings([], "config.yaml cannot be read")
    try:
        rows = [(printable(key), printable(value), default) for key, value, default in _differences(run.config)]
    except PARSE_ERRORS as error:  # SettingError is one of them
        return ChangedSettings([], f"(no defaults for its options: {printable(error)})")
    return ChangedSettings(rows, "" if rows else "none")


def _settings(run: Run) -> list[str]:
    """Format the changed settings of a run as `threshold.tau=0.7 (default 0.95)`."""
    changed = changed_settings(run)
    lines = [f"{key}={value}" + (f" (default {default})" if default else "") for key, value, default in changed.rows]
    return lines or [changed.message]


def _differences(config: dict[str, Any]) -> Iterable[tuple[str, Any, str]]:
    """Yield key, value and default of each setting that differs from its default; "" = there is no default."""
    from semisup.config.compose import defaults  # imports Hydra

    standard = defaults([])
    nodes = {node: config[node].get("name") for node in GROUP_NODES if isinstance(config.get(node), dict)}
    for node, name in nodes.items():
        if name != standard[node]["name"]:
            yield node, name, printable(standard[node]["name"])
    overrides = [
        f"{group if node == group else f'{group}@{node}'}={nodes[node]}" for node, group in GROUP_NODES.items()
    ]
    own = flatten(defaults([*overrides, f"seed={config['seed']}"])) | {"seed": standard["seed"]}  # others may follow it
    for key, value in flatten(config).items():
        default = own.get(key)
        if key not in IGNORED_SETTINGS and default != "auto":
            same = key in own and canonical(default) == canonical(value)
            if not same and not key.endswith(".name"):
                yield key, value, "" if key not in own or default == "???" else printable(default)


# Training -----------------------------------------------------------------------------------------------------------


def _curves(rows: list[dict[str, Any]], console: Console) -> list[str]:
    """Format the training curves of a run, each as one line of block characters."""
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
    sampled = [values[int(place * step)] for place in range(min(len(values), WIDTH))]
    return "".join(blocks[round((value - low) / ((high - low) or 1) * (len(blocks) - 1))] for value in sampled)


def _rounds(rows: list[dict[str, Any]]) -> list[str]:
    """Format a table of the run's last labelings of the unlabeled set."""
    labelings = [row for row in rows if "pseudo/round" in row]
    if not labelings:
        return []
    metrics = round_metrics(labelings)
    titles = "".join(f"{name:>10}" for name, _ in metrics)
    lines = [f"{'round':>6}{'epoch':>7}{'step':>8}{'coverage':>10}{'correct':>9}{'threshold':>11}{titles}"]
    if len(labelings) > MAX_ROUNDS:
        lines.append(f"{'...':>6}")
    for row in labelings[-MAX_ROUNDS:]:
        shares = [format_percent(as_number(row.get(f"pseudo/{name}"))) for name in ("coverage", "accuracy")]
        places = [_whole(row.get(name)) for name in ("pseudo/round", "epoch", "step")]
        threshold = format_number(as_number(row.get("pseudo/threshold")), digits=3, missing="-")
        more = "".join(f"{format_round_metric(key, row) or '-':>10}" for _, key in metrics)
        lines.append(f"{places[0]:>6}{places[1]:>7}{places[2]:>8}{shares[0]:>10}{shares[1]:>9}{threshold:>11}{more}")
    return lines


def round_metrics(labelings: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return those of ROUND_METRICS that at least one labeling has."""
    rows = list(labelings)
    return [pair for pair in ROUND_METRICS if any(as_number(row.get(pair[1])) is not None for row in rows)]


def format_round_metric(key: str, row: dict[str, Any]) -> str:
    """Format one of ROUND_METRICS: entropy and rejection limit as numbers, shares in percent; "" if it is missing."""
    value = as_number(row.get(key))
    if value is None:
        return ""
    if key == ENTROPY:
        return f"{value:.2f}"
    return f"{value:.4g}" if key == REJECT_LIMIT else format_percent(value)


def _whole(value: Any) -> str:
    return format_number(as_number(value), missing="-")


def _results(run: Run, rows: list[dict[str, Any]]) -> list[str]:
    """Format the accuracies of the run's best model."""
    if not run.done:
        return []
    steps = f"step {_whole(run.summary.get('best/step'))} of {_whole(run.number('steps'))}"
    best = f"{steps}, epoch {_whole(run.summary.get('best/epoch'))}"
    if run.refit:
        return [f"refit on labels and validation images: {NO_ACCURACY}; the model is that of {best}"]
    lines = [f"validation accuracy {format_percent(run.accuracy('validation'))}, at {best}"]
    if early := chosen_before_selection(run):
        lines.append(f"that is before its first pseudo-label was used (step {early[1]:.0f})")
    labeled = [step for row in rows if "pseudo/coverage" in row and (step := as_number(row.get("step"))) is not None]
    if labeled and (labeled[-1] > (as_number(run.summary.get("best/step")) or 0)):
        lines.append(f"coverage and accuracy of the last labeling (step {labeled[-1]:.0f}) are later than this model")
    if run.accuracy("test") is not None:
        lines.append(f"test accuracy {format_percent(run.accuracy('test'))}")
    if reason := unused_reason(run):
        lines.append(f"no pseudo-label was used: {printable(reason, 2000)}")
    return lines
