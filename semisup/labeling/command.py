"""Create the files of `semisup label` for a finished run, and write them to a new folder."""

import os
from dataclasses import dataclass
from pathlib import Path

from semisup.config.run_id import ConfigDict
from semisup.errors import SettingError
from semisup.labeling.class_folders import PlacedImage, place_images
from semisup.labeling.label_issues import find_label_issues, require_cleanlab
from semisup.labeling.label_studio import labeling_config
from semisup.labeling.page import review_page
from semisup.labeling.pseudo_labels import above_threshold, pseudo_label_table, selected_by_run
from semisup.labeling.review import (
    ReviewedImage,
    images_to_label,
    label_table,
    labels_to_check,
    review_table,
    review_tasks,
)
from semisup.labeling.rules import select_images
from semisup.labeling.run_data import RunData, read_run
from semisup.runner.progress import Bars
from semisup.runtime.atomic_files import NewFolder
from semisup.text import escape, shell_quote

DEFAULT_COUNT = 50
"""Number of images to label next if the user gives none; if there are fewer unlabeled images, all of them."""


@dataclass(frozen=True)
class LabelingOptions:
    """Options of `semisup label`.

    output: the new folder
    threshold: lowest confidence of a pseudo-label; None = the pseudo-labels that the run selected
    folders: whether images are put into class folders: `links`, `copies` or `none`
    count: number of images to label next; None = DEFAULT_COUNT, or all if there are fewer
    rule: rule that chooses the images to label next, one of `rules.RULES`
    check_labels: whether to search for wrong labels
    image_url: URL that is put before the file names in Label Studio's tasks; None = that of its local files
    """

    output: Path
    threshold: float | None
    folders: str
    count: int | None
    rule: str
    check_labels: bool
    image_url: str | None


def write_labeling_files(run: Path, config: ConfigDict, options: LabelingOptions) -> list[str]:
    """Write the files of `semisup label`, and return lines for the terminal that describe them.

    Args:
        run: the directory of a finished run.
        config: its saved config, with the paths of this machine.

    Raises:
        RecordError: the model or the pseudo-labels of the run are damaged.
        SettingError: an option cannot be used with this run, or weights or cleanlab are missing.
        DataError: the images have changed since the run, or are not separate files.
    """
    if options.check_labels:
        require_cleanlab()
    if os.path.lexists(options.output):
        raise SettingError(
            "--output",
            options.output,
            "exists already, and is not overwritten; type --output FOLDER with the name of a new folder",
        )
    with Bars() as bars:
        data = read_run(run, config, bars)
    _check_output(options.output, data)
    _check_count(options.count, data)
    files, placed, lines = _contents(data, options)
    with NewFolder(options.output) as folder:
        for name, content in files.items():
            folder.write(name, content)
        for image in placed:
            place = folder.copy if options.folders == "copies" else folder.link
            place(image.place, Path(image.source))
        folder.commit()
    return [f"labeling files: {shell_quote(options.output)}", *lines]


def _contents(data: RunData, options: LabelingOptions) -> tuple[dict[str, bytes], list[PlacedImage], list[str]]:
    """Create the content of all files, the list of images in class folders, and the lines for the terminal."""
    unlabeled = data.unlabeled
    labels, problem = (
        selected_by_run(data.run, unlabeled.names)
        if options.threshold is None
        else (above_threshold(unlabeled.probabilities, data.classes, options.threshold), "")
    )
    source = "selected by the run" if options.threshold is None else f"confidence at least {options.threshold:g}"
    count = min(DEFAULT_COUNT, len(unlabeled)) if options.count is None else options.count
    rows, scores = select_images(
        options.rule, unlabeled.probabilities, unlabeled.embeddings, data.labeled.embeddings, count
    )
    to_label = images_to_label(data, rows.tolist(), scores.tolist())
    to_check: list[ReviewedImage] = []
    pseudo = f"{len(labels):,} of {len(unlabeled):,} unlabeled images, {source}"
    if problem:
        fix = "add --threshold 0.9 to use the predictions of its best model instead"
        pseudo = f"not written: the run {problem}; {fix}"
    lines = [
        f"pseudo_labels.csv  {pseudo}",
        f"next.csv           {len(to_label):,} images to label next, chosen by the rule {options.rule}",
    ]
    files = {} if problem else {"pseudo_labels.csv": pseudo_label_table(unlabeled.files, labels)}
    files |= {
        "next.csv": review_table(to_label),
        "next_tasks.json": review_tasks(to_label, data, options.image_url),
        "label_studio.xml": labeling_config(data.classes),
    }
    if options.check_labels:
        issues = find_label_issues(data.labeled.embeddings, data.labeled.targets, len(data.classes))
        to_check = labels_to_check(data, issues)
        files["suspicious.csv"] = review_table(to_check)
        if to_check:  # Label Studio refuses a file without tasks
            files["suspicious_tasks.json"] = review_tasks(to_check, data, options.image_url)
        alone = "the only labeled image of its class"
        skipped = f"; {issues.skipped} not judged, because each is {alone}" if issues.skipped else ""
        lines.append(f"suspicious.csv     {len(to_check):,} of {len(data.labeled):,} labels look wrong{skipped}")
    files["labels.csv"] = label_table(data, [*to_label, *to_check])
    files["next.html"] = review_page(data, to_label, to_check)
    placed = place_images(unlabeled.paths, labels) if options.folders != "none" else []
    return files, placed, lines


def _check_output(output: Path, data: RunData) -> None:
    """Raise SettingError if the output folder is inside the data set."""
    for key, scanned in data.scanned.items():
        if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(scanned)):
            allowed = f"must not be inside {key} ({escape(str(scanned))}), because its images are the data set"
            raise SettingError("--output", output, f"{allowed}; use another folder")


def _check_count(count: int | None, data: RunData) -> None:
    """Raise SettingError if there are fewer unlabeled images than the user wants to label."""
    available = len(data.unlabeled)
    if count is not None and count > available:
        raise SettingError("--next", count, f"must be at most {available}, the number of unlabeled images")
