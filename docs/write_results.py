"""Writes the tables of docs/results.md and docs/internals/policies.md, and draws docs/results.png.

semisup compare outputs/results/FOLDER       # for each folder, after the sweeps of these pages
python docs/write_results.py outputs/results
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy
from matplotlib.figure import Figure

HERE = Path(__file__).parent
SWEEPS = {
    "digits_fixmatch": "digits, 40 labels: fixmatch",
    "digits_self_training": "digits, 40 labels: self_training",
    "fashion40_fixmatch": "Fashion-MNIST, 40 labels: fixmatch",
    "fashion40_self_training": "Fashion-MNIST, 40 labels: self_training",
    "fashion400_fixmatch": "Fashion-MNIST, 400 labels: fixmatch",
    "fashion400_self_training": "Fashion-MNIST, 400 labels: self_training",
    "grocery64_fixmatch": "grocery11, 330 labels, 64 pixels: fixmatch",
}
RECIPE = {
    "digits": "digits, 40 labels",
    "fashion40": "Fashion-MNIST, 40 labels",
    "fashion400": "Fashion-MNIST, 400 labels",
    "grocery32": "grocery11, 330 labels, 32 pixels",
}
FROZEN = {
    "grocery11": {"g4": "4", "g10": "10", "g30": "30"},
    "Fashion-MNIST": {"f4": "4", "f40": "40"},
}
"""Data set -> folder of the sweep on frozen features -> labels per class."""

METHODS = ("fixmatch", "self_training")
PROBES = ("logistic regression on features", "k-nearest neighbors on features")
POLICIES = ("fixed", "ramp", "quantile", "class_balanced", "flexmatch", "freematch", "softmatch", "adamatch", "dash")
MARK = "<!-- tables -->"
FROZEN_MARKS = "<!-- frozen -->", "<!-- end of frozen -->"
RECIPE_MARKS = "<!-- recipe -->", "<!-- end of recipe -->"


def policy_of(row: dict[str, Any]) -> str:
    return str(row["settings"].get("threshold.name", "fixed"))


def percent(value: dict[str, Any] | None, unit: float = 1, sign: str = "") -> str:
    if not value:
        return "-"
    mean = f"{value['mean'] * unit:{sign}.1f}"
    return mean if value["deviation"] is None else f"{mean} ± {value['deviation'] * unit:.1f}"


def of_labels(row: dict[str, Any]) -> list[str]:
    """Coverage and the share that is right in %, and the seconds of a run."""
    shares = [row.get(f"pseudo/{name}") for name in ("coverage", "accuracy")]
    return [*("-" if share is None else f"{share * 100:.1f}" for share in shares), f"{row['seconds']:.0f}"]


def read(folder: Path) -> dict[str, Any] | None:
    path = folder / "comparison.json"
    return json.loads(path.read_text()) if path.exists() else None


def interval(gain: dict[str, Any] | None) -> str:
    """Mean and 95 % interval over seeds and test images, as `semisup compare` computes them for all rows at once."""
    if not gain or gain.get("low") is None:
        return "-"
    text = f"{gain['mean']:+.1f} ({gain['low']:.1f} to {gain['high']:.1f})"
    return f"**{text}**" if gain["low"] > 0 else text


def references(comparison: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    kinds: dict[str, list[dict[str, Any]]] = {}
    for each in comparison["references"]:
        kinds.setdefault(each["kind"], []).append(each)
    return kinds


def recipe(root: Path) -> list[str]:
    """One row a data set: the recipe beside its reference runs."""
    head = ["", "seeds", "recipe %", "control %", "best labels-only %", "which", "baseline %"]
    head += ["gain over control", "gain over best labels-only", "coverage %", "correct %", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, title in RECIPE.items():
        comparison = read(root / f"few_{name}")
        if comparison is None:
            continue
        row = next(each for each in comparison["rows"] if each["gain_over_control_points"])
        kinds = references(comparison)
        accuracy = {kind: percent(each[0]["accuracy"], 100) for kind, each in kinds.items()}
        best = kinds.get("best labels-only", [{"settings": {}}])[0]["settings"]
        cells = [
            title,
            str(len(row["seeds"])),
            percent(row["test/accuracy"], 100),
            accuracy.get("control", "-"),
            accuracy.get("best labels-only", "-"),
            " ".join(f"`{key}={value}`" for key, value in best.items()) or "-",
            accuracy.get("baseline", "-"),
            interval(row["gain_over_control_points"]),
            interval(row["gain_over_labels_only_points"]),
            *of_labels(row),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def frozen(root: Path) -> list[str]:
    """For each data set one table: a row for each method and policy, three columns for each number of labels."""
    lines: list[str] = []
    for data_set, folders in FROZEN.items():
        comparisons = {labels: found for name, labels in folders.items() if (found := read(root / name))}
        if not comparisons:
            continue
        head = [data_set, "threshold"]
        for labels in comparisons:
            head += [f"{labels} per class: test %", "gain over control", "gain over best labels-only"]
        lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
        for method in METHODS:
            for policy in POLICIES:
                cells = [method, policy]
                for comparison in comparisons.values():
                    cells += _frozen_cells(comparison, method, policy)
                lines.append("| " + " | ".join(cells) + " |")
        for title in ("control of fixmatch", "control of self_training", "best labels-only", *PROBES):
            cells = [title, ""]
            for comparison in comparisons.values():
                groups = references(comparison).get(title.partition(" of ")[0], [])
                runs_of = title.partition(" of ")[2]  # the id of a run begins with the name of its method
                cells += [next((percent(g["accuracy"], 100) for g in groups if g["runs"][0].startswith(runs_of)), "-")]
                cells += ["", ""]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return lines


def _frozen_cells(comparison: dict[str, Any], method: str, policy: str) -> list[str]:
    for row in comparison["rows"]:
        settings = row["settings"]
        if settings.get("method.name") == method and policy_of(row) == policy and row["gain_over_control_points"]:
            gains = (row["gain_over_control_points"], row["gain_over_labels_only_points"])
            return [percent(row["test/accuracy"], 100), *map(interval, gains)]
    return ["-"] * 3


def between(text: str, marks: tuple[str, str], lines: list[str]) -> str:
    """Replace the lines between two marks; without lines the page stays as it is."""
    if not lines:
        return text
    before, _, rest = text.partition(marks[0])
    return "\n".join([before + marks[0], "", *lines, marks[1] + rest.partition(marks[1])[2]])


def table(comparison: dict[str, Any]) -> list[str]:
    lines = ["| threshold | seeds | validation % | test % | gain over control | coverage % | correct % | seconds |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in comparison["rows"]:
        cells = [
            policy_of(row),
            str(len(row["seeds"])),
            percent(row["best/val/accuracy"], 100),
            percent(row["test/accuracy"], 100),
            percent(row["gain_over_control_points"], sign="+"),
            *of_labels(row),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def draw(gains: numpy.ndarray[Any, Any], names: list[str]) -> None:
    """Gain over the control in points: rows = sweeps, columns = policies; blue helps, red harms."""
    figure = Figure(figsize=(10, 0.55 * len(names) + 1.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(gains, cmap="RdBu", vmin=-10, vmax=10, aspect="auto")
    axes.set_xticks(range(len(POLICIES)), POLICIES, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    for (row, column), gain in numpy.ndenumerate(gains):
        text = "" if numpy.isnan(gain) else f"{gain:+.1f}"
        axes.text(column, row, text, ha="center", va="center", color="white" if abs(gain) > 6 else "black", fontsize=9)
    axes.set_title("Points of test accuracy over the control, mean of the seeds", fontsize=11)
    figure.savefig(HERE / "results.png", dpi=110, metadata={"Software": None})


def sections(page: str) -> dict[str, list[str]]:
    """Title -> lines of the tables that the page has already."""
    found: dict[str, list[str]] = {}
    for part in page.partition(MARK)[2].split("### ")[1:]:
        title, *lines = part.strip().splitlines()
        found[title] = [line for line in lines if line]
    return found


def gains_of(lines: list[str]) -> list[float]:
    """The mean gain of each of POLICIES in a table; NaN = it is not there."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    found = {cells[0]: float(cells[4].partition(" ")[0]) for cells in rows if cells[4] != "-"}
    return [found.get(name, numpy.nan) for name in POLICIES]


def main(root: Path) -> None:
    """A table whose sweep is not below `root` stays as it is."""
    page = HERE / "results.md"
    rows = recipe(root)
    page.write_text(between(page.read_text(), RECIPE_MARKS, [*rows, ""] if len(rows) > 2 else []))
    page = HERE / "internals" / "policies.md"
    text = between(page.read_text(), FROZEN_MARKS, frozen(root))
    tables = sections(text)
    for folder, title in SWEEPS.items():
        comparison = read(root / folder)
        if comparison is not None:
            tables[title] = table(comparison)
    lines = [line for title, body in tables.items() for line in (f"### {title}", "", *body, "")]
    page.write_text(text.partition(MARK)[0] + "\n".join([MARK, "", *lines]).rstrip() + "\n")
    names = [title for title in SWEEPS.values() if title in tables]
    draw(numpy.array([gains_of(tables[title]) for title in names]), names)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
