"""`semisup predict RUN [RUN ...] FOLDER`: classify images with the best models of one or several runs.

The probabilities of several models are averaged.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from semisup.core.csv_cells import csv_text
from semisup.text import printable

EPILOG = """\
Images are read exactly as in the run: same size, same conversion. Files that cannot be read are rows with an
empty class and the reason. A path or class that begins with = + - @ gets one ' in front, so that no spreadsheet
executes it; remove that one ' to get the name. Several runs, such as those of other seeds, form an ensemble: the
mean of their class probabilities decides. Examples:

  semisup predict outputs/runs/RUN images/ --output classes.csv
  semisup predict outputs/runs/RUN outputs/other/RUN images/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup predict`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Classify every image below a folder with the best model of a run, or with the mean of several runs; "
        "CSV: path, class, confidence, problem."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="a run directory, outputs/NAME/RUN; several = an ensemble"
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder with images, also in folders inside it")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the CSV to this file instead of standard output"
    )
    parser.set_defaults(run_command=predict_command)


def predict_command(arguments: argparse.Namespace) -> int:
    """Classify the images and write the CSV.

    Raises:
        RecordError: RUN is not the directory of a finished run, its model is damaged, or the runs differ in their
            classes or in how they read images.
        DataError: FOLDER contains no images.
    """
    from semisup.errors import DataError
    from semisup.images.scan import describe_ignored, scan, with_ignored

    if not arguments.folder.is_dir():
        problem = "is a file; give the folder that it is in" if arguments.folder.exists() else "no such folder"
        raise DataError(f"{arguments.folder}: {problem}")
    output = arguments.output.resolve() if arguments.output is not None else None  # the target of a link is written
    if output is not None and not output.parent.is_dir():
        raise DataError(f"--output {arguments.output}: no such folder: {output.parent}")
    if output is not None and output.exists() and not output.is_file():  # renaming would replace /dev/null by a file
        raise DataError(
            f"--output {arguments.output}: not a regular file; without --output the CSV goes to standard output"
        )
    result = scan(arguments.folder, arguments.folder, follow_symlinks=False)
    files, ignored = result.files, result.ignored | result.suffixes
    if not files:
        raise DataError(with_ignored(f"{arguments.folder}: holds no image files", ignored))
    if text := describe_ignored(ignored):
        print(f"semisup predict: {text}", file=sys.stderr)
    parts = _csv_parts(arguments.runs, sorted(files, key=lambda file: file.name))
    if output is None:
        for text in map(printable_lines, list(parts)) if sys.stdout.isatty() else parts:  # a list: after the bar
            sys.stdout.write(text)
    else:
        from semisup.runtime.atomic_files import AtomicFile

        with AtomicFile(output.parent) as file:
            for text in parts:
                file.write(text.encode())
            file.commit(output)
        print(f"{len(files)} images: {arguments.output}")
    return 0


def _csv_parts(runs: list[Path], files: list[Any]) -> Iterator[str]:
    """Yield the CSV in parts, one for each batch of images, so that few images are in memory at once."""
    import torch

    from semisup.images.pool import decode_files, max_workers
    from semisup.runner.progress import Bars
    from semisup.text import escape_line

    run_config, model, classes, channels = _load_models(runs)
    torch.set_num_threads(run_config.run.threads)
    size = run_config.settings.train.eval_batch_size
    yield csv_text([["path", "class", "confidence", "problem"]])
    with Bars() as bars:
        outcomes = iter(
            bars.watch(
                decode_files(files, run_config.dataset.decode_settings(), max_workers()), "classifying", len(files)
            )
        )
        while batch := list(islice(outcomes, size)):
            yield escape_line(csv_text(_rows(batch, model, classes, channels)))


def _rows(outcomes: list[Any], model: Any, classes: list[str], channels: int) -> Iterator[list[object]]:
    """Yield name, class and confidence of each file; for an unreadable file, its name and the reason."""
    import numpy
    import torch

    from semisup.core.inference import iter_logits, predict

    decoded = [result.pixels for result in outcomes if result.pixels is not None]
    mean = torch.zeros(0, len(classes))
    if decoded:
        pixels = torch.from_numpy(numpy.stack(decoded))
        pixels = _to_gray(pixels) if channels == 1 else pixels
        (logits,) = iter_logits(model, pixels, len(decoded))  # (n, M, K)
        mean = torch.stack([predict(each).probabilities for each in logits.unbind(dim=1)]).mean(dim=0)
    confidence, targets = mean.max(dim=1)
    predictions = zip(targets.tolist(), confidence.tolist(), strict=True)
    for result in outcomes:
        if result.pixels is None:
            yield [result.name, "", "", result.reason]
        else:
            target, probability = next(predictions)
            yield [result.name, classes[target], f"{probability:.6f}", ""]


def _load_models(runs: list[Path]) -> tuple[Any, Any, list[str], int]:
    """Load the best models of runs.

    Returns:
        The validated config of the first run, the models as one network in eval mode on the CPU, the class names, and
        the number of channels of an image.

    Raises:
        RecordError: the model of a run cannot be loaded (see `_load_model`), or the runs differ in classes, channels or
            in how they read images.
    """
    import torch

    from semisup.errors import RecordError
    from semisup.features import Ensemble

    run_config, model, classes, channels = _load_model(runs[0])
    models, encoders, decode = [model], [run_config.encoder], run_config.dataset.decode_settings()
    for run in runs[1:]:
        other, model, other_classes, other_channels = _load_model(run)
        differences = {
            "classes": other_classes != classes,
            "channels of an image": other_channels != channels,
            "image size or conversion": other.dataset.decode_settings() != decode,
        }
        for name, differs in differences.items():
            if differs:
                raise RecordError(f"{run}: not the same {name} as {runs[0]}; an ensemble needs equal ones")
        models.append(model)
        encoders.append(other.encoder)
    with torch.no_grad():
        return run_config, Ensemble(models, encoders).eval(), classes, channels


def _load_model(run: Path) -> tuple[Any, Any, list[str], int]:
    """Load the best model of a run.

    Returns:
        The validated config, the model on the CPU, the class names, and the number of channels of an image (1 or 3).

    Raises:
        RecordError: there is no best model, or its weights do not fit the config or are damaged.
        SettingError: the run trained on the features of a frozen encoder, and the file of the encoder's weights is
            missing or is another file.
    """
    import torch

    from semisup.config import schema
    from semisup.core.partial_state import load_trained_state
    from semisup.errors import RecordError, first_line
    from semisup.record import checkpoint
    from semisup.record.reader import example_run, read_config, read_json, read_section
    from semisup.record.weights_check import check_weights
    from semisup.runner import compatibility
    from semisup.runtime.precision import wrap_forward

    about, best = read_json(run / "run.json"), checkpoint.newest(run / "checkpoints", "best")
    if about is not None and not best:
        _refuse_probe_without_model(run)
    if about is None or not best:
        needs = f"it must hold run.json and checkpoints/best-*.pt{example_run(run, 'summary.json')}"
        raise RecordError(f"{run}: is not the directory of a finished run; {needs}")
    run_config = schema.validate(read_config(run / "config.yaml") | {"device": "cpu", "compile": False}, weights=False)
    dataset, settings = read_section(about, "dataset"), run_config.settings
    classes, channels = dataset.get("classes"), dataset.get("channels")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or channels not in (1, 3):
        raise RecordError(
            f"{run / 'run.json'}: does not hold the class names and the number of channels that predict needs"
        )
    expected = compatibility.checkpoint_bytes(run_config, channels, len(classes))
    if not expected <= best[0].stat().st_size <= 2 * expected + 2**20:
        raise RecordError(f"{best[0]}: not the weights of this run's model, which take {expected} bytes")
    input_channels, _, size = compatibility.model_input(run_config, channels, len(classes))
    partial = expected < compatibility.weight_bytes(run_config, channels, len(classes))
    model = settings.model.build(input_channels, len(classes), size, pretrained=partial)
    wrap_forward(model, settings.precision, torch.device("cpu"), channels_last=settings.channels_last, compile=False)
    try:
        weights = checkpoint.load(best[0])["weights"]
        check_weights(best[0], weights, model.state_dict())
        load_trained_state(model, weights)
    except (RuntimeError, TypeError, KeyError) as error:
        raise RecordError(f"{best[0]}: not the weights of this run's model ({printable(first_line(error))})") from None
    return run_config, model, classes, channels


def _refuse_probe_without_model(run: Path) -> None:
    """Raise RecordError if the run is a nearest-neighbors probe.

    The model of such a run consists of its labeled images, which a run does not store.
    """
    from semisup.errors import RecordError
    from semisup.record.reader import read_config, read_section

    if read_section(read_config(run / "config.yaml"), "probe").get("classifier") == "nearest_neighbors":
        raise RecordError(
            f"{run}: nearest neighbors store no model; predict with the run of logistic regression beside it "
            f"({run.parent / 'logistic_regression-seed*'}), or with a trained run"
        )


def _to_gray(pixels: Any) -> Any:
    """Convert (n, 3, S, S) uint8 RGB to (n, 1, S, S) uint8 luminance (ITU-R 601-2, as in Pillow)."""
    import torch

    weights = torch.tensor([299, 587, 114], dtype=torch.int32).view(1, 3, 1, 1)
    return ((pixels * weights).sum(1, keepdim=True, dtype=torch.int32) // 1000).to(torch.uint8)


def printable_lines(text: str) -> str:
    """Escape the control characters in the lines of `text`, for a terminal."""
    return "".join(printable(line, max_length=10 * len(line)) + "\n" for line in text.split("\n")[:-1])
