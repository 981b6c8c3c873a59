"""Interface of a data set, and the data it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from semisup.core.types import Images
from semisup.images.cache import ProgressCallback
from semisup.images.decode_settings import DecodeSettings


@dataclass(frozen=True)
class DatasetInfo:
    """Facts about a data set that are available without decoding an image.

    classes: K names, in the order of the class numbers
    channels, size: of an image
    counts: images of each split
    index: private to the data set, which gets it back in `read`
    """

    classes: tuple[str, ...]
    channels: int
    size: int
    counts: dict[str, int]
    index: Any


@dataclass(frozen=True)
class Data:
    """A data set in memory.

    hidden_targets: (N,) int64, classes of the unlabeled images, -1 = unknown; for diagnostics only
    fingerprint: changes when a file list, the content of a file, a class or a split changes
    report: ignored and quarantined files and duplicates, as plain data for data_report.json
    """

    labeled: Images
    unlabeled: Images
    validation: Images
    test: Images
    hidden_targets: Any
    classes: tuple[str, ...]
    fingerprint: str
    report: dict[str, Any] = field(default_factory=dict)


class Dataset(Protocol):
    """Settings of a data set, a frozen dataclass. `_roles` declares settings that change no number."""

    size: int

    def decode_settings(self) -> DecodeSettings:
        """Return how an image file becomes pixels for a model that was trained on this data set."""
        ...

    def inspect(self) -> DatasetInfo:
        """Find the images of each split without decoding one.

        Raises:
            DataError: for example, a folder is missing or empty, or there is only one class.
            SettingError: a setting does not fit the data.
        """
        ...

    def read(self, info: DatasetInfo, watch: ProgressCallback) -> Data:
        """Decode the images, or load them from the cache."""
        ...


@runtime_checkable
class ReadsSome(Protocol):
    """A data set that can read a few images without reading all of them."""

    def read_some(self, info: DatasetInfo, split: str, names: Sequence[str]) -> dict[str, Tensor]:
        """Read the images with these names: (C, S, S) uint8 each; missing and undecodable ones are left out."""
        ...


@runtime_checkable
class ScansFolders(Protocol):
    """A data set that takes every image in some folders, so that nothing else may be written there."""

    def scanned_folders(self) -> Mapping[str, Path]:
        """Map the setting that names each scanned folder to the folder."""
        ...
