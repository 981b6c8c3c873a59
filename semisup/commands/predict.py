"""`semisup predict RUN FOLDER`: classify images with the best model of a run."""

import argparse
import csv
import io
import sys
from pathlib import Path
from typing import Any

from semisup.commands._typed import visible

EPILOG = """\
Images are read exactly as in the run: same size, same conversion. Files that cannot be read are rows with an
empty class and the reason. Example:

  semisup predict outputs/runs/RUN photographs/ --output classes.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What follows `semisup predict`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = (
        "Classify every image below a folder with the best model of a run; CSV: path, class, confidence, problem."
    )
    parser.epilog = EPILOG
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder, as in outputs/NAME/RUN")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="images, in any folders below it")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the CSV there instead of to the terminal")
    parser.set_defaults(run_command=predict)


def predict(arguments: argparse.Namespace) -> int:
    """Write the CSV.

    Raises:
        RecordError: RUN is not the folder of a finished run, or its model is damaged.
        DataError: FOLDER holds no images.
    """
    from semisup.errors import DataError
    from semisup.images.scan import scan

    if not arguments.folder.is_dir():
        what = "is a file; give the folder that it is in" if arguments.folder.exists() else "there is no such folder"
        raise DataError(f"{arguments.folder}: {what}")
    output = arguments.output.resolve() if arguments.output is not None else None  # what a link leads to is written
    if output is not None and not output.parent.is_dir():
        raise DataError(f"--output {arguments.output}: there is no folder {output.parent}")
    if output is not None and output.exists() and not output.is_file():  # a file would take the place of /dev/null
        raise DataError(f"--output {arguments.output}: is no file; without --output the CSV goes to the terminal")
    files = scan(arguments.folder, arguments.folder, follow_symlinks=False).files
    if not files:
        raise DataError(f"{arguments.folder}: no images")
    from semisup.record.log import as_written

    text = as_written(_csv(_rows(arguments.run, files)))
    if output is None:
        sys.stdout.write(_for_a_terminal(text) if sys.stdout.isatty() else text)
    else:
        from semisup.disk import write_atomically

        write_atomically(output, text.encode())
        print(f"{len(files)} images: {arguments.output}")
    return 0


def _rows(run: Path, files: Any) -> list[list[object]]:
    import torch

    from semisup.commands._progress import Bars
    from semisup.images.cache import read
    from semisup.images.pool import most_workers
    from semisup.labeler import label, logits_of

    checked, model, classes, channels = _model_of(run)
    torch.set_num_threads(checked.run.threads)
    with Bars() as bars:
        pictures = read(files, checked.dataset.recipe(), None, most_workers(), bars.watch)
        pixels = torch.from_numpy(pictures.pixels)
        if channels == 1:
            pixels = _grey(pixels)
        batch_size = checked.settings.train.scoring_batch_size
        batches = bars.watch(logits_of(model, pixels, batch_size), "classifying", -(-len(pixels) // batch_size))
        logits = torch.cat([torch.zeros(0, len(classes)), *batches])
    labels = label(logits)
    known = zip(pictures.names, labels.targets.tolist(), labels.confidence.tolist(), strict=True)
    rows: list[list[object]] = [[name, classes[target], f"{sure:.6f}", ""] for name, target, sure in known]
    return sorted(rows + [[name, "", "", reason] for name, reason in pictures.quarantined], key=lambda row: str(row[0]))


def _model_of(run: Path) -> tuple[Any, Any, list[str], int]:
    """The checked config, the best model in eval mode on the CPU, the class names, and the channels of an image."""
    import torch

    from semisup import build
    from semisup.computing import prepare
    from semisup.errors import RecordError
    from semisup.record import checkpoint
    from semisup.record.reading import read_config, read_json, read_section

    about, best = read_json(run / "run.json"), checkpoint.newest(run / "checkpoints", "best")
    if about is None or not best:
        raise RecordError(f"{run}: not the folder of a run with a best model (run.json and checkpoints/best-*.pt)")
    checked = build.check(read_config(run / "config.yaml") | {"device": "cpu", "compile": False})
    dataset, settings = read_section(about, "dataset"), checked.settings
    classes, channels = dataset.get("classes"), dataset.get("channels")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or channels not in (1, 3):
        raise RecordError(f"{run / 'run.json'}: does not say the classes and the channels of the images")
    expected = build.bytes_of_weights(checked, channels, len(classes))
    if not expected <= best[0].stat().st_size <= 2 * expected + 2**20:
        raise RecordError(f"{best[0]}: not the weights of this run's model, which take {expected} bytes")
    model = settings.model.build(channels, len(classes), checked.dataset.size, pretrained=False)
    prepare(model, settings.precision, torch.device("cpu"), channels_last=settings.channels_last, compile=False)
    try:
        model.load_state_dict(checkpoint.load(best[0])["weights"])
    except (RuntimeError, TypeError, KeyError) as error:
        said = visible(str(error).splitlines()[0])
        raise RecordError(f"{best[0]}: not the weights of this run's model ({said})") from None
    with torch.no_grad():
        return checked, model.eval(), classes, channels


def _grey(pixels: Any) -> Any:
    """(n, 3, S, S) uint8 RGB -> (n, 1, S, S) uint8 luminance (ITU-R 601-2, as Pillow)."""
    import torch

    weights = torch.tensor([299, 587, 114]).view(1, 3, 1, 1)
    return ((pixels.long() * weights).sum(1, keepdim=True) // 1000).to(torch.uint8)


def _for_a_terminal(text: str) -> str:
    """The lines, and in them nothing that a terminal would obey."""
    return "".join(visible(line, most=10 * len(line)) + "\n" for line in text.split("\n")[:-1])


def _csv(rows: list[list[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("path", "class", "confidence", "problem"))
    writer.writerows(rows)
    return buffer.getvalue()
