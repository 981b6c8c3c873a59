"""Data sets: labeled, unlabeled, validation and test images, resident as uint8.

Two calls, so that everything that can be wrong is said before any image is decoded: `survey` looks, `read`
reads.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from semisup.core.types import Images
from semisup.images.cache import ProgressCallback
from semisup.images.decode_settings import DecodeSettings


class DatasetInfo(NamedTuple):
    """What can be known without decoding an image.

    classes: K names, in the order of the class numbers
    channels, size: of an image
    counts: images of each split
    found: the data set's own notes for `read`
    """

    classes: tuple[str, ...]
    channels: int
    size: int
    counts: dict[str, int]
    found: Any


@dataclass(frozen=True)
class Data:
    """A data set in memory.

    hidden_targets: N classes of the unlabeled images, -1 = unknown; diagnostics only
    fingerprint: changes when a file list, a file's content, a class or a split changes
    report: what was ignored and quarantined, as plain data for data_report.json
    """

    labeled: Images
    unlabeled: Images
    validation: Images
    test: Images
    hidden_targets: Any  # (N,) int64 tensor
    classes: tuple[str, ...]
    fingerprint: str
    report: dict[str, Any] = field(default_factory=dict)


class Dataset(Protocol):
    """What every data set's settings do."""

    size: int

    def recipe(self) -> DecodeSettings:
        """How an image file becomes pixels for a model that was trained on this data set."""
        ...

    def survey(self) -> DatasetInfo:
        """Look at what is there.

        Raises:
            DataError: a folder is missing or empty, there is one class only, and so on.
            SettingError: a setting does not fit what is there.
        """
        ...

    def read(self, info: DatasetInfo, watch: ProgressCallback) -> Data:
        """Decode, or take from the cache."""
        ...
