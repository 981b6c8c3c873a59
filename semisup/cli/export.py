"""`semisup export RUN`: write the best model of a run to a folder, for use by other programs without semisup."""

import argparse
from pathlib import Path

FORMATS = ("onnx", "torch", "safetensors")
"""Names of the formats, the same as in `semisup.export.FORMATS`, whose module imports torch."""

EPILOG = """\
The folder has the model, labels.txt (class names in the order of the output), preprocessing.json, config.json and
README.md, a model card in the format of Hugging Face. A run on the features of an encoder is exported with its encoder
as one model. The formats:

  onnx         model.onnx, for any ONNX runtime; needs pip install 'semisup[onnx]'
  torch        model.pt2, a program of torch.export: torch.export.load("model.pt2").module(), without semisup
  safetensors  model.safetensors, the weights only; README.md has the code that builds the network

The input of onnx and torch is uint8 RGB (n, S, S, 3); scaling, normalization and softmax are inside. Decoding an image
and resizing it to S x S are not. Example:

  semisup export outputs/runs/RUN --format onnx --output model
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of `semisup export`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = "Write the best model of a run to a folder that is used without semisup."
    parser.epilog = EPILOG
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory, outputs/NAME/RUN")
    parser.add_argument("--format", choices=FORMATS, default="onnx", help="onnx (default), torch or safetensors")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="the folder to create; it must not exist; default: RUN/export/FORMAT",
    )
    parser.set_defaults(run_command=export_command)


def export_command(arguments: argparse.Namespace) -> int:
    """Export the best model of a run and print the path of its file.

    Raises:
        RecordError: the run is not finished or has no model, or the folder exists or cannot be created.
        SettingError: the weights of an encoder are missing.
        MissingPackageError: the format needs a package that is not installed.
    """
    from semisup.cli._best_run import require_run
    from semisup.export import export_run
    from semisup.text import shell_quote

    require_run(arguments.run, "semisup export")
    output = arguments.output or arguments.run / "export" / arguments.format
    print(f"wrote {shell_quote(export_run(arguments.run, arguments.format, output))} and its README.md")
    return 0
