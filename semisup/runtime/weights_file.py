"""Files of pretrained weights: identified by their sha256, loaded as data only."""

import hashlib
import io
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from semisup.errors import SettingError, first_line
from semisup.runtime.memory_limit import memory_limit_bytes
from semisup.text import escape

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
NESTED = ("state_dict", "model", "model_state_dict")
"""Keys under which training programs save the weights beside other values."""

MOST_NAMES = 5


def weights_digest(key: str, path: Path) -> str:
    """Compute the sha256 of a weights file, hex; once for the same file.

    Raises:
        SettingError: there is no such file, it is of another kind, or larger than the memory.
    """
    if path.suffix not in SUFFIXES:
        raise SettingError(key, path, f"must be null, hub, or a file that ends in {', '.join(SUFFIXES)}")
    try:
        status = path.stat()
    except OSError as error:
        raise SettingError(key, path, f"cannot be read ({error.strerror})") from None
    if not path.is_file():
        raise SettingError(key, path, "is not a file")
    if status.st_size > memory_limit_bytes():
        there = memory_limit_bytes() / 1e9
        allowed = f"takes {status.st_size / 1e9:.3g} GB, more than the {there:.3g} GB of memory here"
        raise SettingError(key, path, allowed)
    try:
        return _digest(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise SettingError(key, path, f"cannot be read ({error.strerror})") from None


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_digest(key: str, path: Path, expected: str | None) -> str:
    """Compute the digest of a weights file and compare it with the expected one; None accepts any.

    Raises:
        SettingError: it differs; the message holds both.
    """
    digest = weights_digest(key, path)
    if expected is not None and digest != expected:
        raise SettingError(key, path, f"must be the file with sha256 {expected}; the sha256 of this file is {digest}")
    return digest


def read_weights(key: str, path: Path) -> dict[str, Tensor]:
    """Read named tensors from a .safetensors file, or from a file of torch.save that holds nothing but data.

    Raises:
        SettingError: the file is truncated or damaged, or holds code.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load

            content: Any = load(path.read_bytes())
        else:
            payload = path.read_bytes()
            _check_archive(payload)
            content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except ModuleNotFoundError as error:
        raise SettingError(key, path, f"needs the package {error.name}; type pip install {error.name}") from None
    except Exception as error:  # each format has errors of its own
        message = escape(first_line(error) or type(error).__name__)
        allowed = f"is damaged, or holds more than tensors and plain data ({message})"
        raise SettingError(key, path, allowed) from None
    for name in NESTED:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not content:
        raise SettingError(key, path, "holds no named weights")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if len(tensors) < len(content):
        raise SettingError(key, path, "holds no named weights: some of its values are not tensors")
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def _check_archive(payload: bytes) -> None:
    """Check the parts of a zip archive; a file of torch.save's older format is no archive and passes.

    Raises:
        ValueError: a part is damaged or compressed.
    """
    if not zipfile.is_zipfile(io.BytesIO(payload)):
        return
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("a part is compressed")
        if (broken := archive.testzip()) is not None:
            raise ValueError(f"the part {broken} is damaged")


def load_into(network: nn.Module, weights: dict[str, Tensor], key: str, path: Path, ignored: tuple[str, ...]) -> None:
    """Copy weights into a network.

    Args:
        ignored: names of layers, such as the classifier, that keep the weights they have.

    Raises:
        SettingError: names or shapes are not those of the network; names up to five.
    """
    own = network.state_dict()
    weights = {name: value for name, value in weights.items() if not _below(name, ignored)}
    missing = [name for name in own if name not in weights and not _below(name, ignored)]
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    extra = [name for name in weights if name not in own]
    other = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    problems = [("missing", missing), ("not in the network", extra), ("of another shape", other)]
    message = "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in problems if names)
    if message:
        raise SettingError(key, path, f"does not fit the architecture ({message})")
    network.load_state_dict(weights, strict=False)


def _below(name: str, layers: tuple[str, ...]) -> bool:
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
