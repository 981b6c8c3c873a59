"""A small network of timm with random weights in a file, and settings that use it as an encoder."""

import csv
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from semisup.encoder.timm import TimmEncoder
from semisup.runtime.timm_compat import create_network
from tests.conftest import Program

ARCHITECTURE = "test_efficientnet"  # 0.1 million parameters, 256 features
TRANSFORMER = "test_vit"


def toy_weights(path: Path, architecture: str = ARCHITECTURE, seed: int = 0) -> Path:
    """Write random weights, with statistics that keep the features apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = create_network("encoder.architecture", architecture, 10)
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
    torch.save(network.state_dict(), path)
    return path


def toy_encoder(weights: Path, **settings: Any) -> TimmEncoder:
    values: dict[str, Any] = {
        "sha256": None,
        "views": 2,
        "view_seed": 0,
        "batch": 4,
        "precision": "float32",
        "cache": None,
        "architecture": ARCHITECTURE,
        "weights": str(weights),
        "input_size": 32,
    }
    return TimmEncoder(**(values | settings)).identified("cpu")


def toy_folder(root: Path) -> Path:
    """Write 84 images of three classes, 16 x 16 pixels: a bright band under noise, at a place that tells the class."""
    counts = {"training/labeled": 4, "training/unlabeled": 12, "validation": 6, "testing": 6}
    random = numpy.random.Generator(numpy.random.Philox(0))
    for split, count in counts.items():
        for number in range(3 * count):
            name = ("blue", "green", "red")[number % 3]
            folder = root / split if split.endswith("unlabeled") else root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 120, (16, 16, 3), dtype=numpy.uint8)
            pixels[:, 4 * (number % 3) : 4 * (number % 3) + 5] += 100
            Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return root


def toy_words(weights: Path, root: Path, **settings: Any) -> list[str]:
    """Overrides of a short run with the toy encoder on the images of `toy_folder`."""
    values = {"architecture": ARCHITECTURE, "weights": weights, "input_size": 32, "views": 2, "batch": 16} | settings
    return [
        "encoder=timm",
        *(f"encoder.{key}={value}" for key, value in values.items()),
        "encoder.precision=float32",
        "model=linear",
        "dataset=folder",
        f"dataset.root={root}",
        "dataset.size=16",
        "dataset.workers=1",
        "train.batch_size=6",
        "train.epochs=null",
        "train.steps=6",
        "train.evaluate_every_steps=3",
        "precision=float32",
        "tracking=none",
        "plots=false",
        "collapse.warn_below=null",
    ]


def encoder_words(name: str) -> list[str]:
    """Overrides with which an option of the group `encoder` is valid, besides the option itself."""
    if name == "none":
        return []
    weights = [f"encoder.architecture={ARCHITECTURE}", f"encoder.weights={_weights()}"] if name == "timm" else []
    return ["model=linear", *weights]


@cache
def _weights() -> Path:
    return toy_weights(Path(tempfile.mkdtemp()) / "toy.pth")


def disconnect_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the Hugging Face hub unreachable, with an empty cache."""
    import huggingface_hub

    def unreachable(*_: object, **__: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)


def assert_predicts_as_recorded(program: Program, run: Path, images: Path, output: Path) -> None:
    """Check that `predict` gives the classes and confidences that the run recorded for its validation images."""
    assert program("predict", str(run), str(images / "validation"), "--output", str(output))[0] == 0
    with open(output, newline="") as file:
        predicted = {f"validation/{row['path']}": row for row in csv.DictReader(file)}
    with open(run / "predictions.csv", newline="") as file:
        recorded = {row["path"]: row for row in csv.DictReader(file) if row["split"] == "validation"}
    assert recorded.keys() == predicted.keys()
    for path, row in recorded.items():
        assert predicted[path]["class"] == row["predicted"]
        assert predicted[path]["confidence"] == f"{float(row['confidence']):.6f}"
