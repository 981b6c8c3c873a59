"""Read the images of a finished run, and compute probabilities and embeddings with its best model."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from numpy.typing import NDArray

from semisup.config import schema
from semisup.config.run_id import ConfigDict, run_id
from semisup.core.embeddings import record_inputs
from semisup.core.inference import iter_logits, predict
from semisup.core.types import Images
from semisup.dataset import ScansFolders, image_files
from semisup.errors import DataError
from semisup.images.scan import shown
from semisup.record.reader import read_json, read_section
from semisup.runner.data import load_data
from semisup.runner.encoding import encode_run
from semisup.runner.progress import Bars
from semisup.runner.trained_model import TrainedModel, load_trained_model
from semisup.runner.weights import check_weights_present

Floats = NDArray[numpy.float32]


@dataclass(frozen=True)
class ImageSet:
    """The n images of one split.

    names: names of the images in the files of the run, such as predictions.csv
    paths: paths of the image files
    files: names for tables: paths relative to `RunData.root`
    targets: (n,) given classes; -1 = unlabeled
    probabilities: (n, K) by the best model
    embeddings: (n, D), the input of the classifier layer
    pixels: the decoded images, (n, C, S, S) uint8
    """

    names: list[str]
    paths: list[str]
    files: list[str]
    targets: NDArray[numpy.int64]
    probabilities: Floats
    embeddings: Floats
    pixels: Any

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class RunData:
    """A finished run with its labeled and unlabeled images.

    root: the folder to which the names of files in tables are relative
    scanned: setting of the data set -> folder that is searched for images
    held_out: (`val` or `test`, file, class) of each validation and test image with a known class
    """

    run: Path
    id: str
    classes: list[str]
    root: Path
    scanned: Mapping[str, Path]
    labeled: ImageSet
    unlabeled: ImageSet
    held_out: list[tuple[str, str, str]]


def read_run(run: Path, config: ConfigDict, bars: Bars) -> RunData:
    """Read the images of a run and apply its best model to them.

    Decoded images and features of an encoder are read from the cache if they are there.

    Args:
        config: the saved config, with the paths of this machine.

    Raises:
        RecordError: the model of the run is damaged.
        SettingError: pretrained weights are missing.
        DataError: images have changed or moved since the run, or are not separate files.
    """
    config = config | {"device": "auto", "compile": False, "dataset": _without_download(config["dataset"])}
    check_weights_present(schema.validate(config, weights=False), "download them from")
    run_config = schema.validate(config | {"from": dict.fromkeys(config["from"])})  # its start need not exist any more
    device = torch.device(run_config.run.device)
    model = load_trained_model(run, device)
    torch.set_num_threads(run_config.run.threads)
    info = run_config.dataset.inspect()
    files = image_files(info)
    if not files:
        name = run_config.config["dataset"]["name"]
        raise DataError(
            f"dataset={name}: its images are not separate files, which tables and Label Studio need;"
            " train on a folder of image files"
        )
    if not info.counts["unlabeled"]:
        raise DataError(f"{run}: the run has no unlabeled images, so there are none to label")
    problem, data = load_data(run_config, bars)
    _check_same_images(run, data.fingerprint, data.classes, model.classes)
    _, encoded, _ = encode_run(run_config, problem, data, bars)
    batch_size = run_config.settings.train.eval_batch_size
    root = _root(files)

    def image_set(plain: Images, inputs: Images) -> ImageSet:
        probabilities, embeddings = _apply(model, inputs, batch_size, bars)
        paths = [files[name] for name in plain.paths]
        tables = [_table_name(path, root) for path in paths]
        targets = plain.targets.cpu().numpy()
        return ImageSet(plain.paths, paths, tables, targets, probabilities, embeddings, plain.pixels)

    return RunData(
        run,
        run_id(run_config.config | {"from": config["from"]}),
        model.classes,
        root,
        run_config.dataset.scanned_folders() if isinstance(run_config.dataset, ScansFolders) else {},
        image_set(problem.labeled, encoded.labeled),
        image_set(problem.unlabeled, encoded.unlabeled),
        [
            (split, _table_name(files[name], root), model.classes[target])
            for split, images in (("val", data.validation), ("test", data.test))
            for name, target in zip(images.paths, images.targets.tolist(), strict=True)
            if target >= 0
        ],
    )


def _without_download(dataset: ConfigDict) -> ConfigDict:
    """Return the settings of a data set with downloads turned off."""
    return dataset | ({"download": False} if "download" in dataset else {})


def _check_same_images(run: Path, fingerprint: str, classes: tuple[str, ...], recorded_classes: list[str]) -> None:
    """Raise DataError if files, their contents, classes or the split have changed since the run."""
    recorded = read_section(read_json(run / "run.json") or {}, "dataset").get("fingerprint")
    if recorded != fingerprint or list(classes) != recorded_classes:
        raise DataError(
            f"{run}: images, labels or the split have changed since this run; train a new run with the present data"
        )


@torch.no_grad()
def _apply(model: TrainedModel, images: Images, batch_size: int, bars: Bars) -> tuple[Floats, Floats]:
    """Compute the probabilities (n, K) and the embeddings (n, D) of images."""
    batches = -(-len(images) // batch_size)
    with record_inputs(model.embedding_layer) as inputs:
        logits = bars.watch(iter_logits(model.network, images.pixels, batch_size), "classifying", batches)
        rows = [predict(batch).probabilities.cpu().numpy() for batch in logits]
    if not rows:
        return numpy.zeros((0, len(model.classes)), numpy.float32), numpy.zeros((0, 0), numpy.float32)
    return numpy.concatenate(rows), torch.cat([each.cpu() for each in inputs]).numpy()


def _root(files: Mapping[str, str]) -> Path:
    """Return the folder to which all image names are relative; it is derived from the first image.

    Args:
        files: name of each image -> path of its file.
    """
    name, path = next(iter(files.items()))
    return Path(path).parents[name.count("/")]


def _table_name(path: str, root: Path) -> str:
    """Return the path of a file relative to `root`, as text.

    Raises:
        DataError: the path is not UTF-8, so that no table can contain it.
    """
    try:
        return os.fsencode(os.path.relpath(path, root)).decode()
    except UnicodeDecodeError:
        raise DataError(f"{shown(path)}: its name is not UTF-8, so no table can contain it; rename it") from None
