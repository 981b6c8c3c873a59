"""A small network of timm with random weights in a file, and settings that use it as an encoder."""

from pathlib import Path
from typing import Any

import torch

from semisup.encoder.timm import TimmEncoder
from semisup.runtime.timm_compat import create_network

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


def toy_words(weights: Path, **settings: Any) -> list[str]:
    """Overrides of a short run on digits with the toy encoder."""
    values = {"architecture": ARCHITECTURE, "weights": weights, "input_size": 32, "views": 2, "batch": 16} | settings
    return [
        "encoder=timm",
        *(f"encoder.{key}={value}" for key, value in values.items()),
        "encoder.precision=float32",
        "model=linear",
        "dataset.labels_per_class=2",
        "dataset.validation_share=0.05",
        "dataset.test_share=0.85",
        "train.batch_size=8",
        "train.epochs=null",
        "train.steps=6",
        "train.evaluate_every_steps=3",
        "precision=float32",
        "tracking=none",
        "plots=false",
    ]
