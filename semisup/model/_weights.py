"""Files of pretrained weights: digest, reading without running code from the file, loading into a network."""

import hashlib
import io
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from semisup.errors import SettingError, first_line

KEY = "model.weights"
FILE_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
CODE = re.compile(r"GLOBAL (\S+)")  # in torch's refusal: the name of what the file asks to import
MAX_NAMES = 5  # keys of a state_dict that an error message names


class WeightsInfo(NamedTuple):
    """What run.json records about pretrained weights.

    file: name of the file, without its folder
    sha256: digest of its bytes
    source: URL it was downloaded from; None for a local file
    license: name or URL of its license, where the source states one
    """

    file: str
    sha256: str
    source: str | None
    license: str | None


def is_file_name(weights: str) -> bool:
    """Whether a value of `model.weights` names a file, and not an entry of a library's list of weights."""
    return "/" in weights or weights.startswith("~") or weights.lower().endswith(FILE_SUFFIXES)


_digests: dict[tuple[object, ...], str] = {}
"""Digest by path, inode, size and times of change: the jobs of a sweep hash a file once."""


def file_digest(path: Path) -> str:
    """Compute the sha256 of a file.

    Raises:
        SettingError: the file does not exist or cannot be read.
    """
    key = file_state(path)
    if key not in _digests:
        with path.open("rb") as file:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]


def file_state(path: Path) -> tuple[object, ...]:
    """Return what changes when a file is replaced or rewritten.

    Raises:
        SettingError: it is no readable file.
    """
    try:
        if not path.is_file():
            reason = "a folder, and must be a file" if path.is_dir() else "no such file"
            raise SettingError(KEY, path, f"{reason}; give the file of a state_dict saved by torch.save, or null")
        with path.open("rb"):
            stat = path.stat()
    except OSError as error:
        raise SettingError(KEY, path, f"cannot be read ({error.strerror})") from None
    return (str(path), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def check_digest(path: Path, expected: str | None) -> str:
    """Return the sha256 of a file.

    Raises:
        SettingError: it is not `expected` (None = any); names both digests.
    """
    digest = file_digest(path)
    _require_digest(path, digest, expected)
    return digest


def _require_digest(path: Path, digest: str, expected: str | None) -> None:
    if expected is not None and digest != expected:
        allowed = f"its sha256 is {digest}, but model.sha256 is {expected}; use the file that the run was trained from"
        raise SettingError(KEY, path, allowed)


def download(url: str, path: Path, hash_prefix: str | None) -> None:
    """Download a file of weights to `path`, which appears only when it is complete.

    Args:
        hash_prefix: first digits of the sha256 that the file must have.

    Raises:
        SettingError: the download failed; names the URL and where to put the file by hand.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix)
    except (OSError, RuntimeError) as error:
        allowed = f"could not be downloaded ({first_line(error)}); put the file of {url} at {path}"
        raise SettingError(KEY, path.name, allowed) from None


def read_state_dict(path: Path, max_bytes: int, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a state_dict saved by `torch.save`, on the CPU, without running code from the file.

    Args:
        max_bytes: largest size of the file.
        sha256: digest that the file must have; None = any.

    Raises:
        SettingError: the file is missing, larger, damaged, or holds anything but named finite tensors.
    """
    size = int(str(file_state(path)[3]))
    if size > max_bytes:
        allowed = f"too large: {size / 1e6:.4g} MB, where the weights of this model take at most {max_bytes / 1e6:.4g}"
        raise SettingError(KEY, path, allowed)
    payload = path.read_bytes()
    _require_digest(path, hashlib.sha256(payload).hexdigest(), sha256)
    try:
        _reject_compressed(payload)
        state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises almost anything
        code = CODE.search(str(error))
        if code is not None:
            allowed = f"holds more than tensors: loading it would run {code[1]}; save model.state_dict() alone"
        else:
            allowed = f"damaged, or not a file of torch.save ({first_line(error)[:100] or type(error).__name__})"
        raise SettingError(KEY, path, allowed) from None
    return _checked_state(path, state)


def _reject_compressed(payload: bytes) -> None:
    """Raise ValueError for an archive with compressed parts, of which torch would unpack 200 kB to 200 MB."""
    if zipfile.is_zipfile(io.BytesIO(payload)):
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("a part is compressed")


def _checked_state(path: Path, state: Any) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state:
        raise SettingError(KEY, path, f"holds a {type(state).__name__}, and must hold a state_dict of named tensors")
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor) or not isinstance(name, str)]
    if others:
        allowed = f"must hold a state_dict of named tensors, but {_names(others)} are none; save model.state_dict()"
        raise SettingError(KEY, path, allowed)
    for name, value in state.items():
        if value.layout != torch.strided or value.nbytes > value.untyped_storage().nbytes():
            raise SettingError(KEY, path, f"{name} is not a dense tensor")
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise SettingError(KEY, path, f"{name} has values that are not finite")
    return state


def load_into(network: nn.Module, state: dict[str, Tensor], path: Path, architecture: str) -> None:
    """Load all weights of a network.

    Raises:
        SettingError: names and shapes are not those of the network; names up to five of each.
    """
    own = network.state_dict()
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    reasons = []
    if not shapes:
        with warnings.catch_warnings():  # loading into the meta device only checks names and shapes
            warnings.filterwarnings("ignore", message=".*copying from a non-meta parameter", category=UserWarning)
            result = network.load_state_dict(state, strict=False)
        for what, names in (("missing", result.missing_keys), ("not of this model", result.unexpected_keys)):
            reasons += [f"{what}: {_names(names)}"] if names else []
    else:
        described = [f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}" for name in shapes]
        reasons = [f"other shapes: {_names(described)}"]
        reasons += [f"missing: {_names(gone)}"] if (gone := [name for name in own if name not in state]) else []
    if reasons:
        raise SettingError(KEY, path, f"not the weights of {architecture}; {'; '.join(reasons)}")


def size_bytes(network: nn.Module) -> int:
    """Bytes of all weights and buffers of a network."""
    return sum(value.nbytes for value in network.state_dict().values())


def without_memory(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on the meta device, or on the CPU where it computes its own widths by tensors."""
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            return build()


def _names(names: Iterable[str]) -> str:
    """The first five names and how many more there are."""
    listed = list(names)
    shown = ", ".join(listed[:MAX_NAMES])
    return shown if len(listed) <= MAX_NAMES else f"{shown} and {len(listed) - MAX_NAMES} more"
