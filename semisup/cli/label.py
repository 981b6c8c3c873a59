"""`semisup label RUN`: write pseudo-labels, images to label, and labels to check, all computed from a finished run."""

import argparse
from pathlib import Path

EPILOG = """\
writes into a new folder, by default RUN/labeling:
  pseudo_labels.csv       file, class and confidence of the pseudo-labels; with links to the images in class folders
  next.csv                unlabeled images that a person should label next, most useful first
  suspicious.csv          labeled images whose class looks wrong, most suspicious first (needs cleanlab)
  labels.csv              all images with class and split: the images to label next and to check come first
  next.html               thumbnails of both lists
  *_tasks.json, label_studio.xml   both lists as tasks of Label Studio, with the model's prediction and its confidence

Fill in and correct the column class of labels.csv, put it into the folder of your images, and train on it
(dataset.root=photos/labels.csv). The images are never changed. Examples:

  semisup label outputs/runs/RUN --next 100 --output to_label
  semisup label outputs/runs/RUN --threshold 0.95 --copies --no-check-labels
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup label`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Write the pseudo-labels of a run, the images to label next, and the labels that look wrong, as tables, class "
        "folders and tasks of Label Studio."
    )
    parser.epilog = EPILOG
    parser.add_argument("run", type=Path, metavar="RUN", help="the directory of a finished run, outputs/NAME/RUN")
    parser.add_argument(
        "settings",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="new paths of the data: dataset.root, dataset.cache, ...",
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="the new folder; default: RUN/labeling")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="use the predictions of the best model with at least this confidence as pseudo-labels; default: the "
        "pseudo-labels that the run itself selected last",
    )
    folders = parser.add_mutually_exclusive_group()
    folders.add_argument("--links", action="store_true", help="class folders with symbolic links (default)")
    folders.add_argument("--copies", action="store_true", help="class folders with copies of the images")
    folders.add_argument("--no-folders", action="store_true", help="no class folders, only tables")
    parser.add_argument("--next", type=int, metavar="N", help="how many images to label next; default 50, or all")
    parser.add_argument(
        "--rule",
        choices=("spread", "margin", "entropy"),
        default="spread",
        help="how to choose them: the most uncertain images by margin or entropy, or uncertain images that differ from "
        "each other and from the labeled ones (spread, default)",
    )
    parser.add_argument(
        "--check-labels",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="search for given labels that look wrong",
    )
    parser.add_argument(
        "--image-url",
        metavar="PREFIX",
        help="address in front of the names of files in tasks; default: local files of Label Studio",
    )
    parser.set_defaults(run_command=label_command)


def label_command(arguments: argparse.Namespace) -> int:
    """Write pseudo-labels, images to label and labels that are probably wrong to a folder; return 0.

    Raises:
        RecordError: RUN is not the directory of a finished run, or has no pseudo-labels.
        SettingError: an argument or a setting after RUN is not allowed, the output folder exists, or cleanlab is not
        installed.
        DataError: the images have changed since the run, or none of them is unlabeled.
    """
    from semisup.cli._best_run import require_run
    from semisup.config.caller_settings import merge_caller_settings
    from semisup.errors import check_range
    from semisup.record.reader import read_config
    from semisup.record.run_check import check_finished_run

    check_range("--threshold", arguments.threshold, 0, 1)
    check_range("--next", arguments.next, 1)
    require_run(arguments.run, "semisup label")
    check_finished_run(arguments.run)
    config = merge_caller_settings(read_config(arguments.run / "config.yaml"), arguments.settings)

    from semisup.labeling.command import LabelingOptions, write_labeling_files
    from semisup.runtime.warning_lines import short_warnings

    short_warnings()
    options = LabelingOptions(
        output=arguments.output or arguments.run / "labeling",
        threshold=arguments.threshold,
        folders="copies" if arguments.copies else "none" if arguments.no_folders else "links",
        count=arguments.next,
        rule=arguments.rule,
        check_labels=arguments.check_labels,
        image_url=arguments.image_url,
    )
    print("\n".join(write_labeling_files(arguments.run, config, options)))
    return 0
