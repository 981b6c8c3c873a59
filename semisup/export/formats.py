"""Formats of an exported model (ONNX, torch, safetensors): each converts the network to the bytes of one file."""

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from semisup.errors import MissingPackageError
from semisup.export.standalone_model import StandaloneModel

EXAMPLES = 2  # images with which the network is traced; any number of images can be given later
OPSET = 18


@dataclass(frozen=True)
class ExportFormat:
    """Format of an exported model.

    file: name of the file of the model in the export folder
    library: name of the library in the header of the model card
    packages: packages that must be installed to write the file
    install: what to type to install them
    serialize: function that converts the network to the bytes of the file
    usage: Python code that computes `probabilities`, (n, K), of `pixels`, (n, S, S, 3) uint8; "" = the file has weights
        only, and the code depends on the network (`safetensors_usage.py`)
    """

    file: str
    library: str
    packages: tuple[str, ...]
    install: str
    serialize: Callable[[StandaloneModel], bytes]
    usage: str = ""

    def require_packages(self, name: str) -> None:
        """Check that the packages of the format are installed.

        Raises:
            MissingPackageError: a package is missing.
        """
        for package in self.packages:
            try:
                importlib.import_module(package)
            except ImportError:
                message = f"--format {name} needs the package {package}; type pip install '{self.install}'"
                raise MissingPackageError(message) from None


def _traced(network: StandaloneModel) -> Any:
    """Convert the network to a program of torch.export that accepts any number of images."""
    images = torch.zeros(EXAMPLES, network.size, network.size, 3, dtype=torch.uint8)
    with torch.no_grad(), _quiet():
        return torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))


def _as_onnx(network: StandaloneModel) -> bytes:
    with _quiet():
        program = torch.onnx.export(
            _traced(network),
            input_names=["images"],
            output_names=["probabilities"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    return content


def _as_torch(network: StandaloneModel) -> bytes:
    buffer = io.BytesIO()
    with _quiet():
        torch.export.save(_traced(network), buffer)
    return buffer.getvalue()


def _as_safetensors(network: StandaloneModel) -> bytes:
    tensors = {name: value.detach().clone().contiguous() for name, value in network.state_dict().items()}
    serialize: Callable[[dict[str, torch.Tensor]], bytes] = importlib.import_module("safetensors.torch").save
    return serialize(tensors)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Return a context that hides warnings and log lines of torch's exporter."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


_ONNX = """\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
(probabilities,) = session.run(None, {"images": pixels})"""

_TORCH = """\
import torch

model = torch.export.load("model.pt2").module()
probabilities = model(torch.from_numpy(pixels)).numpy()"""

FORMATS = {
    "onnx": ExportFormat("model.onnx", "onnx", ("onnx", "onnxscript"), "semisup[onnx]", _as_onnx, _ONNX),
    "torch": ExportFormat("model.pt2", "pytorch", (), "", _as_torch, _TORCH),
    "safetensors": ExportFormat("model.safetensors", "pytorch", ("safetensors",), "safetensors", _as_safetensors),
}
"""Name of a format -> the format."""
