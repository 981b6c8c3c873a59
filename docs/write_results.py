"""Writes the tables of docs/results.md, and draws docs/results.png, from the comparisons of its sweeps.

semisup compare outputs/results/FOLDER       # for each folder, after the sweeps of docs/results.md
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
POLICIES = ("fixed", "ramp", "quantile", "class_balanced", "flexmatch", "freematch", "softmatch", "adamatch", "dash")
MARK = "<!-- tables -->"


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


def recipe(root: Path) -> list[str]:
    """One row a data set, from few_<name>, weak_<name>, controls_<name>: the recipe beside what labels alone give."""
    head = ["", "seeds", "baseline %", "weak %", "strength .5 %", "control %", "recipe %", "gain over control"]
    head += ["over baseline", "coverage %", "correct %", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, title in RECIPE.items():
        comparison = read(root / f"few_{name}")
        others = [read(root / f"{kind}_{name}") for kind in ("weak", "controls")]
        if comparison is None:
            continue
        (row,) = comparison["rows"]
        beside = {each["kind"]: each["accuracy"] for each in comparison["references"]}
        cells = [
            title,
            str(len(row["seeds"])),
            percent(beside.get("baseline"), 100),
            *(percent(other["rows"][0]["test/accuracy"] if other else None, 100) for other in others),
            percent(beside.get("control"), 100),
            percent(row["test/accuracy"], 100),
            percent(row["gain_over_control_points"], sign="+"),
            percent(row["gain_over_baseline_points"], sign="+"),
            *of_labels(row),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


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
    text = page.read_text()
    tables = sections(text)
    for folder, title in SWEEPS.items():
        comparison = read(root / folder)
        if comparison is not None:
            tables[title] = table(comparison)
    rows = recipe(root)
    if len(rows) > 2:
        tables = {"The recipe": rows} | {title: body for title, body in tables.items() if title != "The recipe"}
    lines = [line for title, body in tables.items() for line in (f"### {title}", "", *body, "")]
    page.write_text(text.partition(MARK)[0] + "\n".join([MARK, "", *lines]).rstrip() + "\n")
    names = [title for title in SWEEPS.values() if title in tables]
    draw(numpy.array([gains_of(tables[title]) for title in names]), names)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
