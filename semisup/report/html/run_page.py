"""report.html of one run: what it was, how it went, what became of its pseudo-labels, and what its model gets wrong."""

from pathlib import Path
from typing import Any

from semisup.analysis.pseudo_label_history import ImageLabels, LabelHistory, Round, read_label_history
from semisup.analysis.run_history import (
    chosen_before_selection,
    last_class_rows,
    read_metric_rows,
    read_threshold_curves,
)
from semisup.analysis.runs import Run, as_number, is_run, read_run
from semisup.record.reader import read_json
from semisup.report.comparison_charts import threshold_chart
from semisup.report.html.confusion import confusion_rows, confusions
from semisup.report.html.page import render_page
from semisup.report.html.svg import svg, svg_style
from semisup.report.html.tables import HtmlCell, HtmlColumn, Line, Table, run_command_text
from semisup.report.html.thumbnails import thumbnails
from semisup.report.run_charts import rounds_chart, training_chart
from semisup.report.run_summary import changed_settings
from semisup.runtime.text import printable, run_url

SHOWN = 24  # thumbnails of each kind
MOST_STEPS = 6  # of a label's history that are written out
MOST_ROUNDS = 12  # columns of the table of classes by round
FILES = (
    *("config.yaml", "run.json", "summary.json", "metrics.jsonl", "pseudo_labels.csv", "classes.csv", "what_if.csv"),
    *("predictions.csv", "data_report.json", "git.diff", "plots"),
)


def run_page(run: Run) -> bytes:
    """The page, for the run's own folder; the same bytes for the same folder."""
    rows = list(read_metric_rows(run.folder))
    labels = read_label_history(run.folder, SHOWN)
    with svg_style():
        charts = _charts(run, rows, labels)
    pictures = _pictures(run, labels)
    rounds, classes = _rounds_table(labels.rounds, rows), _classes_table(run.folder)
    model = confusions(run) | {"mistakes": confusion_rows(run)} if run.done else None
    settings = changed_settings(run)
    named: list[tuple[str, str, object]] = [
        ("settings", "What it was", True),
        *((chart["id"], chart["title"], True) for chart in charts),
    ]
    named += [("rounds-section", "Round by round", rounds), ("classes-section", "Classes", classes)]
    named += [("pictures", "Pictures", pictures["groups"]), ("model", "The chosen model", model)]
    return render_page(
        "run.html",
        title=printable(run.id),
        sentence=printable(_sentence(run), 2000),
        facts=_facts(run),
        sections=[(id_, title) for id_, title, there in [*named, ("files", "Files", True)] if there],
        settings=settings,
        commands=_commands(run),
        charts=charts,
        rounds=rounds,
        classes=classes,
        by_class=_by_class(labels.rounds),
        pictures=pictures,
        model=model,
        files=[(name, f"./{name}") for name in FILES if (run.folder / name).exists()],
    )


# What it was --------------------------------------------------------------------------------------------------------


def _sentence(run: Run) -> str:
    if not run.done:
        return f"This run is not done: {run.status}" + (f" ({run.reason})" if run.reason else "") + "."
    said = f"Validation accuracy {_percent(run.accuracy('validation'))}"
    if run.accuracy("test") is not None:
        said += f", test accuracy {_percent(run.accuracy('test'))}"
    said += (
        f", of the model after step {as_number(run.summary.get('best/step')) or 0:.0f} of {run.number('steps'):.0f}."
    )
    if early := chosen_before_selection(run):
        said += f" That is before its first pseudo-label counted (step {early[1]:.0f})."
    control = _control(run)
    split = "test" if run.accuracy("test") is not None else "validation"
    mine, other = run.accuracy(split), control.accuracy(split) if control else None
    if mine is None or other is None:
        return said
    gain = 100 * (mine - other)
    return said + f" Its control, labels only, has {_percent(other)} on {split}: a gain of {gain:+z.1f} points."


def _control(run: Run) -> Run | None:
    """The finished control that lies beside it."""
    if not run.control_id or "/" in run.control_id or not is_run(run.folder.resolve().parent / run.control_id):
        return None
    found = read_run(run.folder.resolve().parent / run.control_id)
    return found if found.done else None


def _facts(run: Run) -> list[tuple[str, str, str]]:
    """Name, value, and where it leads to."""
    about = read_json(run.folder / "run.json") or {}
    options = {group: run.config.get(group) for group in ("method", "threshold", "augment", "model", "dataset")}
    names = [str(node.get("name")) for node in options.values() if isinstance(node, dict)]
    control = _control(run)
    facts = [
        ("status", run.status, ""),
        ("method, threshold, augmentation, model, data", ", ".join(names), ""),
        ("seed", "" if run.seed is None else str(run.seed), ""),
        ("began", str(about.get("started_at") or ""), ""),
        ("took", "" if run.seconds is None else f"{run.seconds:.0f} s", ""),
        ("interrupted", _interruptions(about), ""),
        ("control", control.id if control else "", run_url(control.folder, run.folder) if control else ""),
    ]
    return [(name, printable(value), to) for name, value, to in facts if value]


def _interruptions(about: dict[str, Any]) -> str:
    counts = about.get("interruptions")
    return ", ".join(f"{count} x {by}" for by, count in counts.items()) if isinstance(counts, dict) else ""


def _commands(run: Run) -> list[tuple[str, str]]:
    """What is to be typed, and what was."""
    about = read_json(run.folder / "run.json") or {}
    made, again = about.get("command"), run_command_text(run)
    found = [("makes it again and compares every number; to be typed where semisup show was", again)]
    return [
        (said, printable(each, 2000)) for said, each in [*found, ("made it", made)] if isinstance(each, str) and each
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


# Charts and tables --------------------------------------------------------------------------------------------------


def _charts(run: Run, rows: list[dict[str, Any]], labels: LabelHistory) -> list[dict[str, Any]]:
    gate, tau = (
        as_number((run.config.get(group) or {}).get(key)) for group, key in (("method", "gate"), ("threshold", "tau"))
    )
    chosen = as_number(run.summary.get("best/step"))
    some = "The ring is the model that validation chose; faint lines are labelings of the pool."
    kept = "Gained: kept now and not at the labeling before. Lost: the other way round. In the first all is gained."
    would = "What each threshold would keep of the pool at its last labeling, and of validation."
    tau = tau if run.uses_unlabeled else None
    found = [
        ("curves", "How it went", training_chart(rows, gate, chosen), some),
        ("by-round", "Pseudo-labels by round", rounds_chart(labels.rounds, rows), kept),
        ("what-if", "Other thresholds", threshold_chart(read_threshold_curves(run.folder), tau), would),
    ]
    return [
        {"id": id_, "title": title, "svg": svg(figure, f"{id_}-", f"{title}. {said}"), "caption": said}
        for id_, title, figure, said in found
        if figure is not None
    ]


def _rounds_table(rounds: list[Round], rows: list[dict[str, Any]]) -> Table | None:
    """A line a labeling."""
    if not rounds:
        return None
    told = {position: row for row in rows if (position := as_number(row.get("pseudo/round"))) is not None}
    names = ("round", "epoch", "step", "labeled", "kept", "gained", "lost", "flipped", "coverage", "right", "threshold")
    titles = {"coverage": "coverage\n%", "right": "right, of\nthe kept %", "flipped": "other\nclass"}
    lines = []
    for each in rounds:
        row = told.get(each.number, {})
        counts = (each.number, each.epoch, each.step, each.labeled, each.kept, each.gained, each.lost, each.flipped)
        shares = [_digits(row.get(f"pseudo/{name}"), 100, 1) for name in ("coverage", "accuracy")]
        lines.append(
            Line([HtmlCell(text) for text in (*map(str, counts), *shares, _digits(row.get("pseudo/threshold"), 1, 3))])
        )
    caption = "Each labeling of the pool against the one before it; images"
    return Table(
        "by_round", caption, "kept>100 lost>0", [HtmlColumn(name, titles.get(name, name)) for name in names], lines
    )


def _classes_table(folder: Path) -> Table | None:
    """A line a class, of the last labeling."""
    found = last_class_rows(folder)
    if not found:
        return None
    titles = {"coverage": "coverage\n%", "accuracy": "right, of\nthe kept %"}
    names = ("class", "labeled", "kept", "coverage", "accuracy", "threshold")
    columns = [HtmlColumn(name, titles.get(name, name), number=name != "class") for name in names]
    lines = [
        Line(
            [
                HtmlCell(printable(row["class"], 60), False),
                *(HtmlCell(_digits(row.get(name), 1, 0)) for name in ("labeled", "kept")),
                *(HtmlCell(_digits(row.get(name), 100, 1)) for name in ("coverage", "accuracy")),
                HtmlCell(_digits(row.get("threshold"), 1, 3)),
            ]
        )
        for row in found
    ]
    caption = (
        "What became of each class at the last labeling: images labeled as it, kept, and how much of that is right"
    )
    return Table("classes", caption, "coverage<50", columns, lines)


def _by_class(rounds: list[Round]) -> dict[str, Any] | None:
    """Kept images of each class, at the first, the last and some rounds in between; shaded by the row's largest."""
    names = sorted({name for each in rounds for name in each.kept_of})
    if not names:
        return None
    count = min(len(rounds), MOST_ROUNDS)
    picked = sorted({round(position * (len(rounds) - 1) / max(count - 1, 1)) for position in range(count)})
    lines = []
    for name in names:
        counts = [rounds[position].kept_of[name] for position in picked]
        most = max(*counts, 1)
        lines.append({"label": printable(name, 60), "cells": [(each, round(100 * each / most)) for each in counts]})
    return {"rounds": [rounds[position].number for position in picked], "lines": lines}


def _digits(value: Any, unit: int, digits: int) -> str:
    found = as_number(value)
    return "" if found is None else f"{unit * found:.{digits}f}"


# Pictures -----------------------------------------------------------------------------------------------------------


def _pictures(run: Run, labels: LabelHistory) -> dict[str, Any]:
    kept = "of what is kept" if labels.any_kept else "though none is kept"
    groups = [
        ("surest", f"The surest pseudo-labels, {kept}", labels.surest),
        ("least-sure", f"The least sure, {kept}", labels.least_sure),
        ("flipped", f"The ones that changed their class most often, of {labels.changed} that ever did", labels.flipped),
    ]
    paths = list(dict.fromkeys(each.path for _, _, some in groups for each in some))
    uris, said = thumbnails(run, "unlabeled", paths)
    drawn = [
        {"id": id_, "title": title, "shown": [_shown(each, uris) for each in some]}
        for id_, title, some in groups
        if some
    ]
    return {"groups": drawn, "said": printable(said, 600)}


def _shown(label: ImageLabels, uris: dict[str, str]) -> dict[str, Any]:
    few = (
        label.classes if len(label.classes) <= MOST_STEPS else (label.classes[0], "…", *label.classes[2 - MOST_STEPS :])
    )
    return {
        "uri": uris.get(label.path),
        "path": printable(label.path),
        "target": printable(label.classes[-1], 60),
        "history": [printable(name, 60) for name in few] if len(few) > 1 else [],
        "confidence": f"{label.confidence:.2f}",
        "kept": label.kept,
    }
