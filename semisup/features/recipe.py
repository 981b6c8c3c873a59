"""Recipe of a pack (folder of stored features): everything besides the images on which the features can depend.

    encoder       settings of the encoder, with the digest of its weights, the batch size and the precision
    views         the augmentation and its settings, the number of views, the seed of the views; nothing for images
                  without augmentation
    image         channels and side of the decoded image
    libraries     versions of torch and timm
    device        cpu, or the name of the GPU with the versions of CUDA and cuDNN; the instruction set of the CPU
    code          source of the modules that augment and encode, without comments and docstrings; of the encoders, only
                  the modules of the encoder that is used

Machines with another device or other versions need a pack of their own.
"""

import ast
import dataclasses
import hashlib
import importlib
import io
import json
import tokenize
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from semisup.augment import Augment
from semisup.encoder import NetworkEncoder
from semisup.record.environment import package_version
from semisup.runtime.device_names import device_name, libraries

FORMAT = 2
"""Increase this when the format of the files of a pack changes."""

NO_EFFECT = ("cache",)
"""Settings of an encoder that do not change features."""

SOURCES = (
    "semisup.augment",
    "semisup.core.image_operations",
    "semisup.core.image_warp",
    "semisup.core.inference",
    "semisup.core.layers",
    "semisup.core.rng",
    "semisup.core.sampling",
    "semisup.encoder._network",
    "semisup.features.encode",
    "semisup.runtime.lite_names",
    "semisup.runtime.timm_compat",
    "semisup.runtime.weights_file",
)
"""Modules and packages whose code can change the features of every encoder, besides the modules of its class."""


@dataclass(frozen=True)
class PackRecipe:
    """Everything besides the images that determines the stored features of a pack (folder of feature files).

    encoder: settings of the encoder, with `sha256` and `precision` filled in
    augment: the augmentation of the views; None = the images are not augmented
    shape: (C, S, S) of a decoded image
    device: device on which images are encoded
    """

    encoder: NetworkEncoder
    augment: Augment | None
    shape: tuple[int, int, int]
    device: torch.device

    @property
    def views(self) -> int:
        """The number K of feature vectors (views) of each image."""
        return 1 if self.augment is None else self.encoder.views

    def description(self) -> dict[str, Any]:
        """Return the recipe as plain data, from which the name of the pack's folder is computed."""
        plain: tuple[str, ...] = ("views", "view_seed") if self.augment is None else ()
        encoder = {key: value for key, value in _fields(self.encoder).items() if key not in (*NO_EFFECT, *plain)}
        if encoder.get("weights"):
            encoder["weights"] = None  # the digest identifies the file
        return {
            "format": FORMAT,
            "encoder": encoder,
            "augment": None if self.augment is None else _fields(self.augment),
            "shape": list(self.shape),
            "packages": {name: package_version(name) for name in ("torch", "timm")},
            "device": _device(self.device),
            "code": _source_digest(type(self.encoder)),
        }

    def key(self) -> str:
        """Compute the name of the pack's folder: 32 hexadecimal digits of the digest of the recipe."""
        text = json.dumps(self.description(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _fields(settings: Any) -> dict[str, Any]:
    return {"kind": type(settings).__name__, **dataclasses.asdict(settings)}


def _device(device: torch.device) -> dict[str, Any]:
    cpu = {"instruction_set": torch.backends.cpu.get_cpu_capability()}
    if device.type == "cpu":
        return {"kind": "cpu", **cpu}
    return {"kind": device_name(str(device)), **libraries(device.type), **cpu}


def source_modules(encoder: type) -> list[str]:
    """List the modules and packages whose code can change the features of an encoder.

    The modules of other encoders are not among them, so a new encoder does not change the keys of stored features.

    Args:
        encoder: class of the encoder's settings.
    """
    own = {base.__module__ for base in encoder.__mro__ if base is not object}
    return sorted({*SOURCES, *own})


@cache
def _source_digest(encoder: type) -> str:
    digest = hashlib.sha256()
    for name in source_modules(encoder):
        path = Path(str(importlib.import_module(name).__file__))
        for file in sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]:
            digest.update(f"{file.name}\n{statements(file.read_text('utf-8'))}\n".encode())
    return digest.hexdigest()


def statements(source: str) -> str:
    """Remove comments, docstrings and blank lines from Python source code.

    Rewording them then changes no `PackRecipe.key`. The result is the same for all versions of Python, unlike that of
    `ast.unparse`.
    """
    lines = source.split("\n")
    literal: set[int] = set()  # indices of the lines whose end is inside a string that is a value
    strings: list[ast.Expr] = []  # docstrings, and other strings that are statements
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            strings.append(node)
        elif isinstance(node, ast.JoinedStr | ast.Constant):  # Python 3.11 has wrong positions for parts of an f-string
            literal.update(range(node.lineno - 1, (node.end_lineno or node.lineno) - 1))
        else:
            nodes += ast.iter_child_nodes(node)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
            literal.discard(row - 1)  # a comment between the parts of a concatenated string
    for node in sorted(strings, key=lambda each: (each.lineno, each.col_offset), reverse=True):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before, after = lines[first].encode()[: node.col_offset], lines[last].encode()[node.end_col_offset :]
        lines[first : last + 1] = [(before + after).decode(), *[""] * (last - first)]
    kept = (
        line if row in literal else line.rstrip() for row, line in enumerate(lines) if row in literal or line.strip()
    )
    return "\n".join(kept)
