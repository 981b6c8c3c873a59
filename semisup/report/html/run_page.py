"""Render report.html of one run: settings, curves, pseudo-labels of each labeling, and errors of the best model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from semisup.analysis.diagnosis import unused_reason
from semisup.analysis.pseudo_label_history import ImageLabels, LabelHistory, Round, read_label_history
from semisup.analysis.run_history import (
    chosen_before_selection,
    last_class_rows,
    position,
    read_metric_rows,
    read_threshold_curves,
)
from semisup.analysis.runs import NO_ACCURACY, Run, as_number, is_run, read_run
from semisup.record.reader import read_json
from semisup.report.figures.rounds import rounds_figure
from semisup.report.figures.style import figure_style
from semisup.report.figures.threshold_curve import threshold_figure
from semisup.report.figures.training import training_figure
from semisup.report.format_numbers import format_number, format_percent
from semisup.report.html.confusion import confusion_section, error_section
from semisup.report.html.page import chart_section, render_page
from semisup.report.html.thumbnails import thumbnails
from semisup.report.run_summary import changed_settings, format_round_metric, round_metrics
from semisup.report.tables import Cell, Column, Line, Table, reproduce_command
from semisup.text import printable, run_url

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 24  # maximum number of thumbnails of each kind
MAX_LABELS = 6  # maximum number of classes of an image's history that are written out
MAX_ROUNDS = 12  # maximum number of columns of the table of classes by round
FILES = (
    *("config.yaml", "run.json", "summary.json", "metrics.jsonl", "pseudo_labels.csv", "classes.csv", "what_if.csv"),
    *("predictions.csv", "data_report.json", "git.diff", "plots"),
)


def run_page(run: Run) -> bytes:
    """Render the HTML page of a run; equal runs give equal bytes. Links are relative to the run directory."""
    rows = list(read_metric_rows(run.folder))
    labels = read_label_history(run.folder, SHOWN)
    charts = _charts(run, rows, labels)
    images = _images(run, labels)
    rounds, classes = _rounds_table(labels.rounds, rows), _classes_table(run.folder)
    model = confusion_section(run) | {"mistakes": error_section(run)} if run.done else None
    sections: list[tuple[str, str, object]] = [
        ("settings", "Settings", True),
        *((chart["id"], chart["title"], True) for chart in charts),
        ("rounds-section", "Rounds in numbers", rounds),
        ("classes-section", "Classes", classes),
        ("pictures", "Pseudo-labeled images", images["groups"]),
        ("model", "Selected model", model),
        ("files", "Files", True),
        ("glossary", "Glossary", True),
    ]
    return render_page(
        "run.html",
        title=printable(run.id),
        sentence=printable(_sentence(run), 2000),
        facts=_facts(run),
        sections=[(id_, title) for id_, title, content in sections if content],
        settings=changed_settings(run),
        commands=_commands(run),
        charts=charts,
        rounds=rounds,
        classes=classes,
        by_class=_selected_by_class(labels.rounds),
        images=images,
        model=model,
        files=[(name, f"./{name}") for name in FILES if (run.folder / name).exists()],
    )


# Facts --------------------------------------------------------------------------------------------------------------


def _sentence(run: Run) -> str:
    if not run.done:
        return f"This run is not done: {run.status}" + (f" ({run.reason})" if run.reason else "") + "."
    if run.refit:
        return f"A refit on labels and validation images together: {NO_ACCURACY}; the model is that of the last step."
    text = f"Validation accuracy {format_percent(run.accuracy('validation'))}"
    if run.accuracy("test") is not None:
        text += f", test accuracy {format_percent(run.accuracy('test'))}"
    best = format_number(as_number(run.summary.get("best/step")), missing="?")
    text += f", of the model after step {best} of {format_number(run.number('steps'))}."
    if reason := unused_reason(run):
        text += f" No pseudo-label was used: {reason}."
    if early := chosen_before_selection(run):
        text += f" That is before its first pseudo-label was used (step {early[1]:.0f})."
    control = _control(run)
    split = "test" if run.accuracy("test") is not None else "validation"
    accuracy, reference = run.accuracy(split), control.accuracy(split) if control else None
    if accuracy is None or reference is None:
        return text
    gain = 100 * (accuracy - reference)
    return (
        text + f" Its control, labels only, has {format_percent(reference)} on {split}: a gain of {gain:+z.1f} points."
    )


def _control(run: Run) -> Run | None:
    """Read the control (the same run without unlabeled images) of a run from the same parent folder.

    Returns:
        None if there is no control there, or it is not finished.
    """
    if not run.control_id or "/" in run.control_id or not is_run(run.folder.resolve().parent / run.control_id):
        return None
    control = read_run(run.folder.resolve().parent / run.control_id)
    return control if control.done else None


def _facts(run: Run) -> list[tuple[str, str, str]]:
    """List the facts for the top of a run's page, such as status and accuracy: (name, value, relative URL)."""
    about = read_json(run.folder / "run.json") or {}
    options = {group: run.config.get(group) for group in ("method", "threshold", "augment", "model", "dataset")}
    names = [str(node.get("name")) for node in options.values() if isinstance(node, dict)]
    control = _control(run)
    facts = [
        ("status", run.status, ""),
        ("method, threshold, augmentation, model, data", ", ".join(names), ""),
        ("seed", "" if run.seed is None else str(run.seed), ""),
        ("started", str(about.get("started_at") or ""), ""),
        ("duration", format_number(run.seconds) + " s" if run.seconds is not None else "", ""),
        ("interrupted", _interruptions(about), ""),
        ("control", control.id if control else "", run_url(control.folder, run.folder) if control else ""),
    ]
    return [(name, printable(value), href) for name, value, href in facts if value]


def _interruptions(about: dict[str, Any]) -> str:
    counts = about.get("interruptions")
    return ", ".join(f"{count} x {by}" for by, count in counts.items()) if isinstance(counts, dict) else ""


def _commands(run: Run) -> list[tuple[str, str]]:
    """List the commands that a user can type for this run, each with a description."""
    about = read_json(run.folder / "run.json") or {}
    commands = [
        ("reproduces the run and compares every number; type it where semisup show was typed", reproduce_command(run)),
        ("the command of this run", about.get("command")),
    ]
    return [(text, printable(command, 2000)) for text, command in commands if isinstance(command, str) and command]


# Charts and tables --------------------------------------------------------------------------------------------------


def _charts(run: Run, rows: list[dict[str, Any]], labels: LabelHistory) -> list[dict[str, Any]]:
    start, tau = (
        as_number((run.config.get(group) or {}).get(key)) for group, key in (("method", "gate"), ("threshold", "tau"))
    )
    start = as_number(run.summary.get("pseudo/gate", start))
    best = as_number(run.summary.get("best/step"))
    tau = tau if run.uses_unlabeled else None
    with figure_style(transparent=True):
        charts: list[tuple[str, str, Figure | None, str]] = [
            (
                "curves",
                "Training",
                training_figure(rows, start, best),
                "The ring is the model selected on validation; faint lines are labelings of the unlabeled set.",
            ),
            (
                "by-round",
                "Pseudo-labels by round",
                rounds_figure(labels.rounds, rows),
                "Gained: selected now and not in the round before; lost: the reverse. In the first, all are gained.",
            ),
            (
                "what-if",
                "Other thresholds",
                threshold_figure(read_threshold_curves(run.folder), rows, run.summary, tau),
                "What each threshold would select of the unlabeled set (pool) and of validation.",
            ),
        ]
        return [chart_section(*chart) for chart in charts if chart[2] is not None]


def _rounds_table(rounds: list[Round], rows: list[dict[str, Any]]) -> Table | None:
    """Create a table with one row for each round (labeling of the unlabeled set) of a run; None without rounds."""
    if not rounds:
        return None
    by_round = {number: row for row in rows if (number := position(row.get("pseudo/round"))) is not None}
    metrics = round_metrics(by_round.values())
    titles = {"coverage": "coverage\n%", "right": "pseudo-\naccuracy %", "flipped": "other\nclass", "kept": "selected"}
    titles |= {"entropy": "class\nentropy", "rejected": "rejected\n%", "limit": "reject\nlimit"}
    titles |= {"other": "of no\nclass %", "AUROC": "AUROC\n%"}
    names = ("round", "epoch", "step", "labeled", "kept", "gained", "lost", "flipped", "coverage", "right", "threshold")
    lines = []
    for each in rounds:
        row = by_round.get(each.number, {})
        counts = (each.number, each.epoch, each.step, each.labeled, each.selected, each.gained, each.lost, each.flipped)
        shares = [format_number(as_number(row.get(f"pseudo/{name}")), 100, 1) for name in ("coverage", "accuracy")]
        threshold = format_number(as_number(row.get("pseudo/threshold")), digits=3)
        more = [format_round_metric(key, row).removesuffix(" %") for _, key in metrics]
        lines.append(Line([Cell(text) for text in (*map(str, counts), *shares, threshold, *more)]))
    caption = "Each labeling of the unlabeled set against the one before it; numbers of images"
    columns = [Column(name, titles.get(name, name)) for name in (*names, *(name for name, _ in metrics))]
    return Table("by_round", caption, "kept>100 lost>0", columns, lines)


def _classes_table(folder: Path) -> Table | None:
    """Create a table of the last labeling of the unlabeled set, with one row for each class; None without labelings."""
    rows = last_class_rows(folder)
    if not rows:
        return None
    titles = {"coverage": "coverage\n%", "accuracy": "pseudo-\naccuracy %", "kept": "selected"}
    formats = {"labeled": (1, 0), "kept": (1, 0), "coverage": (100, 1), "accuracy": (100, 1), "threshold": (1, 3)}
    columns = [Column(name, titles.get(name, name), number=name != "class") for name in ("class", *formats)]
    lines = [
        Line(
            [
                Cell(printable(row["class"], 60)),
                *(Cell(format_number(row.get(name), unit, digits)) for name, (unit, digits) in formats.items()),
            ]
        )
        for row in rows
    ]
    caption = "Classes in the last labeling: images labeled as the class, selected, and the share that is correct"
    return Table("classes", caption, "coverage<50", columns, lines)


def _selected_by_class(rounds: list[Round]) -> dict[str, Any] | None:
    """Create the table of the number of selected pseudo-labels, by class and labeling of the unlabeled set.

    The shade of a cell is its count divided by the largest count of the class.
    """
    names = sorted({name for each in rounds for name in each.selected_by_class})
    if not names:
        return None
    count = min(len(rounds), MAX_ROUNDS)
    places = sorted({round(place * (len(rounds) - 1) / max(count - 1, 1)) for place in range(count)})
    lines = []
    for name in names:
        counts = [rounds[place].selected_by_class[name] for place in places]
        most = max(*counts, 1)
        cells = [(number, round(100 * number / most)) for number in counts]
        lines.append({"label": printable(name, 60), "cells": cells})
    return {"rounds": [rounds[place].number for place in places], "lines": lines}


# Images -------------------------------------------------------------------------------------------------------------


def _images(run: Run, labels: LabelHistory) -> dict[str, Any]:
    suffix = "of the selected" if labels.any_selected else "(none is selected)"
    groups = [
        ("surest", f"Most confident {suffix}", labels.most_confident),
        ("least-sure", f"Least confident {suffix}", labels.least_confident),
        ("flipped", f"Class changed most often, of {labels.changed} images whose class ever changed", labels.flipped),
        ("other", "Images that do not seem to belong to a class: the lowest scores of reject", labels.lowest_scores),
    ]
    paths = list(dict.fromkeys(image.path for _, _, images in groups for image in images))
    uris, message = thumbnails(run, "unlabeled", paths)
    shown = [
        {"id": id_, "title": title, "shown": [_image(image, uris, scored=id_ == "other") for image in images]}
        for id_, title, images in groups
        if images
    ]
    return {"groups": shown, "message": printable(message, 600)}


def _image(labels: ImageLabels, uris: dict[str, str], *, scored: bool) -> dict[str, Any]:
    classes = labels.classes
    if len(classes) > MAX_LABELS:
        classes = (classes[0], "…", *classes[2 - MAX_LABELS :])
    return {
        "uri": uris.get(labels.path),
        "path": printable(labels.path),
        "target": printable(labels.classes[-1], 60),
        "history": [printable(name, 60) for name in classes] if len(classes) > 1 else [],
        "confidence": f"{labels.confidence:.2f}",
        "selected": labels.selected,
        "score": f"{labels.score:.3g}" if scored and labels.score is not None else "",
    }
