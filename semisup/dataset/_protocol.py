"""Interface of a data set, and the types of its results."""

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
    """Description of a data set, read without decoding any image.

    classes: K names, in the order of the class numbers
    channels, size: C and S; an image has C channels and S x S pixels
    counts: split -> number of images
    index: what `Dataset.read` needs to find the files; its type differs between data sets
    notes: lines of output about how the files were read
    """

    classes: tuple[str, ...]
    channels: int
    size: int
    counts: dict[str, int]
    index: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Data:
    """The images of a data set.

    hidden_targets: (N,) int64, true classes of the unlabeled images in [0, K), only for diagnostics; K = another class,
        -1 = unknown
    classes: K names, in the order of the class numbers
    fingerprint: text that changes when the files, their content, their classes or their splits change
    report: ignored files, unusable (quarantined) files and duplicates, as plain data for data_report.json
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
    """Interface of a data set; a class that implements it is a frozen dataclass of settings.

    The metadata of a field can declare whether and how the run id depends on the setting (`_roles.py`).
    """

    size: int

    def decode_settings(self) -> DecodeSettings:
        """Return the settings by which image files are decoded for a model that was trained on this data set."""
        ...

    def inspect(self) -> DatasetInfo:
        """Find the images of each split without decoding them.

        Raises:
            DataError: the data cannot be used; for example, a folder is missing or empty, or there is only one class.
            SettingError: a setting does not fit the data.
        """
        ...

    def read(self, info: DatasetInfo, watch: ProgressCallback) -> Data:
        """Decode the images, or load them from the cache.

        Args:
            info: the result of `inspect`.
            watch: shows progress.
        """
        ...


@runtime_checkable
class ReadsSome(Protocol):
    """Interface of a data set that can read some of its images without reading all of them."""

    def read_some(self, info: DatasetInfo, split: str, names: Sequence[str]) -> dict[str, Tensor]:
        """Read some images of a split, and return name -> (C, S, S) uint8.

        Missing and undecodable images are left out.
        """
        ...


@runtime_checkable
class ScansFolders(Protocol):
    """Interface of a data set in which all images in certain folders are used.

    The program must not write images to these folders.
    """

    def scanned_folders(self) -> Mapping[str, Path]:
        """Return the folders in which all images are used: key of the setting that names the folder -> its path."""
        ...
