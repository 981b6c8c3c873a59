"""Read, check and load files of pretrained weights. Reading a file never runs code that it contains."""

import hashlib
import io
import re
import stat
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from semisup.errors import SettingError, first_line
from semisup.runtime.memory_limit import memory_limit_bytes
from semisup.text import escape

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
NESTED = ("state_dict", "model", "model_state_dict")
"""Keys of the weights in files that also contain other values."""

CODE = re.compile(r"GLOBAL (\S+)")
"""Pattern of the name of the code that a file would run, in torch's error message."""

MAX_NAMES = 5


class WeightsInfo(NamedTuple):
    """Description of pretrained weights in run.json.

    file: name of the file, without its directory
    sha256: digest of its bytes
    source: URL of the file or of a page about it; None for a local file
    license: name or URL of its license; None if the source states none
    """

    file: str
    sha256: str
    source: str | None
    license: str | None


def is_file_name(weights: str) -> bool:
    """Whether the setting `weights` is the path of a file, and not the name of weights that a library publishes."""
    return "/" in weights or weights.startswith("~") or weights.lower().endswith(SUFFIXES)


def file_state(key: str, path: Path, sha256: str | None = None) -> tuple[object, ...]:
    """Return path, device, inode, size and times of a weights file, to detect later that the file has changed.

    Args:
        key: name of the setting with the path, for the error message.
        sha256: digest that the file must have, for the error message; None = any.

    Raises:
        SettingError: the file does not exist, cannot be read, or is larger than the memory of this machine.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SettingError(key, path, "is not a file")
        path.open("rb").close()
    except FileNotFoundError as error:
        wanted = "" if sha256 is None else f"; put the file with sha256 {sha256} there"
        raise SettingError(key, path, f"cannot be read ({error.strerror}){wanted}") from None
    except OSError as error:
        raise SettingError(key, path, f"cannot be read ({error.strerror})") from None
    _check_size(key, path, status.st_size, memory_limit_bytes(), "of memory on this machine")
    return (str(path), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _check_size(key: str, path: Path, size: int, limit: int, meaning: str) -> None:
    if size > limit:
        raise SettingError(key, path, f"takes {size / 1e9:.4g} GB, more than the {limit / 1e9:.4g} GB {meaning}")


_digests: dict[tuple[object, ...], str] = {}
"""`file_state` of a file -> sha256 of the file; a cache, because computing it takes time."""


def require_digest(key: str, path: Path, expected: str | None) -> str:
    """Compute the sha256 of a weights file, in hexadecimal, and check that it is the expected one.

    Args:
        key: name of the setting with the path, for the error message.
        expected: the sha256 that the file must have; None = any.

    Raises:
        SettingError: the file cannot be read, or has another digest.
    """
    state = file_state(key, path, expected)
    if state not in _digests:
        try:
            with path.open("rb") as file:
                _digests[state] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SettingError(key, path, f"cannot be read ({error.strerror})") from None
    return _compare_digests(key, path, _digests[state], expected)


def _compare_digests(key: str, path: Path, digest: str, expected: str | None) -> str:
    if expected is not None and digest != expected:
        raise SettingError(key, path, f"must be the file with sha256 {expected}; the sha256 of this file is {digest}")
    return digest


def read_weights(key: str, path: Path, sha256: str | None = None, max_bytes: int | None = None) -> dict[str, Tensor]:
    """Read named tensors from a .safetensors file or a file of torch.save.

    Args:
        key: name of the setting with the path, for the error message.
        sha256: digest that the file must have; None = any.
        max_bytes: largest size allowed; None = the memory of this machine.

    Raises:
        SettingError: the file is missing, damaged or larger than allowed, has another digest, or holds anything but
            tensors with finite values.
    """
    size = int(str(file_state(key, path, sha256)[3]))
    if max_bytes is not None:
        _check_size(key, path, size, max_bytes, "that weights of this model can take")
    payload = path.read_bytes()
    if not payload:
        raise SettingError(key, path, "the file is empty")
    _compare_digests(key, path, hashlib.sha256(payload).hexdigest() if sha256 is not None else "", sha256)
    try:
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load

            content: Any = load(payload)
        else:
            _check_archive(payload)
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # of an old format
                content = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except ModuleNotFoundError as error:
        raise SettingError(key, path, f"needs the package {error.name}; type pip install {error.name}") from None
    except Exception as error:  # a damaged file can raise almost any exception
        if (code := CODE.search(str(error))) is not None:
            raise SettingError(
                key,
                path,
                f"contains more than tensors, and loading it would run {code[1]}; save only model.state_dict()",
            ) from None
        raise SettingError(
            key, path, f"the file is damaged, or contains more than tensors and plain data ({_reason(error)})"
        ) from None
    return _checked_tensors(key, path, content)


def _reason(error: Exception) -> str:
    """Return the first sentence of the message with which a library refused a file of weights, without advice."""
    if str(error).startswith("Weights only load failed"):  # continues with advice to load the file without this check
        return "torch.load with weights_only=True refuses it"
    return escape(first_line(error).partition(". ")[0] or type(error).__name__)


def _check_archive(payload: bytes) -> None:
    """Check that a zip archive has no damaged or compressed member; other files are not checked.

    Compressed members are not allowed, because a small compressed file could fill the memory.

    Args:
        payload: content of a weights file.

    Raises:
        ValueError: a member is damaged or compressed.
    """
    if not zipfile.is_zipfile(io.BytesIO(payload)):
        return
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("the file is a zip archive with compressed parts, so torch.save did not write it")
        if (broken := archive.testzip()) is not None:
            raise ValueError(f"the part {broken} of the zip archive is damaged")


def _checked_tensors(key: str, path: Path, content: Any) -> dict[str, Tensor]:
    """Extract the named tensors from the content of a weights file, and check that their values are finite.

    The prefix `module.` of names, which torch's parallel wrappers add, is removed.
    """
    for name in NESTED:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not content:
        raise SettingError(
            key, path, f"must contain a state_dict of named tensors, but contains a {type(content).__name__}"
        )
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise SettingError(
            key,
            path,
            f"must contain only named tensors, but {_some(others)} are not tensors; save only model.state_dict()",
        )
    tensors: dict[str, Tensor] = {str(name).removeprefix("module."): value for name, value in content.items()}
    for name, value in tensors.items():
        if value.layout != torch.strided or value.nbytes > value.untyped_storage().nbytes():
            raise SettingError(key, path, f"the tensor {escape(name)} is not dense")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise SettingError(key, path, f"the tensor {escape(name)} has values that are not finite")
    return tensors


def load_into(
    network: nn.Module, weights: dict[str, Tensor], key: str, path: Path, ignored: tuple[str, ...] = ()
) -> None:
    """Copy the tensors of a weights file into a network.

    Args:
        key, path: setting and path of the file, for the error message.
        ignored: names of layers, such as the classifier, that are not loaded.

    Raises:
        SettingError: names or shapes of tensors differ from those of the network.
    """
    own = network.state_dict()
    weights = {name: value for name, value in weights.items() if not _below(name, ignored)}
    missing = [name for name in own if name not in weights and not _below(name, ignored)]
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    extra = [name for name in weights if name not in own]
    shapes = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in weights and own[name].shape != weights[name].shape
    ]
    problems = [("missing", missing), ("not in the network", extra), ("of another shape", shapes)]
    message = "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in problems if names)
    if message:
        raise SettingError(key, path, f"does not fit the architecture ({message})")
    with warnings.catch_warnings():  # a network on the meta device has only names and shapes
        warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter", category=UserWarning)
        network.load_state_dict(weights, strict=False)


def _below(name: str, layers: tuple[str, ...]) -> bool:
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)


def _some(names: Iterable[str]) -> str:
    """Format a list of names for a message: the first five names, and the number of other names."""
    listed = [escape(name) for name in names]
    shown = ", ".join(listed[:MAX_NAMES])
    return shown if len(listed) <= MAX_NAMES else f"{shown} and {len(listed) - MAX_NAMES} more"
