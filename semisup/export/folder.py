"""Write the folder of an exported model: model, class names, preprocessing, settings and README.md."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from semisup.errors import RecordError
from semisup.export.formats import FORMATS, ExportFormat
from semisup.export.model_card import CardContent, model_card
from semisup.export.preprocessing import describe_preprocessing
from semisup.export.safetensors_usage import usage_code
from semisup.export.standalone_model import StandaloneModel
from semisup.record.reader import read_json
from semisup.record.run_check import check_finished_run
from semisup.runner.trained_model import TrainedModel, load_trained_model
from semisup.runtime.atomic_files import NewFolder
from semisup.runtime.secrets import redact
from semisup.text import escape_line, escape_name, shell_quote


def export_run(run: Path, name: str, output: Path) -> Path:
    """Export the best model of a run to a new folder.

    Args:
        name: name of the format, a key of FORMATS.
        output: the folder to create.

    Returns:
        The file of the model.

    Raises:
        RecordError: the run is not finished or has no model, or the folder exists or cannot be created.
        SettingError: the weights of an encoder are missing.
        MissingPackageError: the format needs a package that is not installed.
        OSError: the export cannot be written, for example because the disk is full; the new folder is then removed.
    """
    chosen = FORMATS[name]
    chosen.require_packages(name)
    check_finished_run(run)
    trained = load_trained_model(run, torch.device("cpu"))
    if os.path.lexists(output):
        raise RecordError(f"{shell_quote(output)}: exists already; give another --output, or delete it")
    with contextlib.ExitStack() as stack:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(NewFolder(output))
        except OSError as error:
            problem = f"cannot be created: {error.strerror}; give another folder with --output"
            raise RecordError(f"{shell_quote(output)}: {problem}") from None
        for file, content in _contents(trained, chosen).items():
            folder.write(file, content)
        folder.commit()
    return output / chosen.file


def _contents(trained: TrainedModel, chosen: ExportFormat) -> Mapping[str, bytes]:
    """Compute the content of every file of the export."""
    run_config = trained.run_config
    network = StandaloneModel(trained, run_config.encoder)
    card = CardContent(
        name=trained.run.resolve().name,
        classes=trained.classes,
        run_config=run_config,
        about=read_json(trained.run / "run.json") or {},
        summary=read_json(trained.run / "summary.json") or {},
        format=chosen,
        usage=chosen.usage or usage_code(trained, network),
    )
    texts = {
        "labels.txt": "".join(f"{name if name.isprintable() else escape_name(name)}\n" for name in trained.classes),
        "preprocessing.json": _as_json(describe_preprocessing(network, run_config.dataset.decode_settings())),
        "config.json": _as_json(_with_file_names(run_config.config)),
        "README.md": model_card(card),
    }
    files = {name: escape_line(redact(text)).encode() for name, text in texts.items()}
    return {chosen.file: chosen.serialize(network), **files}


def _with_file_names(value: Any) -> Any:
    """Return settings in which each absolute path is replaced by its last part, as paths of this machine are no use."""
    if isinstance(value, dict):
        return {key: _with_file_names(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_file_names(each) for each in value]
    if isinstance(value, str) and (Path(value).is_absolute() or value.startswith("~")):
        return Path(value).name
    return value


def _as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
