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
    "grocery11_fixmatch": "grocery11, 330 labels, 32 pixels: fixmatch, averaged weights",
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


def table(comparison: dict[str, Any]) -> list[str]:
    lines = ["| threshold | seeds | validation % | test % | gain over control | coverage % | labels right % |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in comparison["rows"]:
        shares = [row.get(f"pseudo/{name}") for name in ("coverage", "accuracy")]
        cells = [
            policy_of(row),
            str(len(row["seeds"])),
            percent(row["best/val/accuracy"], 100),
            percent(row["test/accuracy"], 100),
            percent(row["gain_over_control_points"], sign="+"),
            *("-" if share is None else f"{share * 100:.1f}" for share in shares),
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


def main(root: Path) -> None:
    lines, gains, names = [], [], []
    for folder, title in SWEEPS.items():
        path = root / folder / "comparison.json"
        if not path.exists():
            continue
        comparison = json.loads(path.read_text())
        lines += [f"### {title}", "", *table(comparison), ""]
        found = {policy_of(row): row["gain_over_control_points"] for row in comparison["rows"]}
        gains.append([found[name]["mean"] if found.get(name) else numpy.nan for name in POLICIES])
        names.append(title)
    page = HERE / "results.md"
    page.write_text(page.read_text().partition(MARK)[0] + "\n".join([MARK, "", *lines]).rstrip() + "\n")
    draw(numpy.array(gains), names)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
