"""EuroSAT: 27,000 satellite images of 64 x 64 pixels (RGB, Sentinel-2), ten kinds of land use.

There is no official test part: test, validation, labeled and unlabeled are dealt out by seed.

Source: P. Helber et al., "EuroSAT: A Novel Dataset and Deep Learning Benchmark for Land Use and Land Cover
Classification" (arXiv:1709.00029).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy

from semisup.core.class_split import SplitFractions, split_by_class
from semisup.core.types import SPLITS
from semisup.dataset._image_files import FileIndex, check, read_files
from semisup.dataset._protocol import Data, DatasetInfo
from semisup.dataset._torchvision_files import part_of
from semisup.dataset._torchvision_readers import open_reader
from semisup.errors import check_range
from semisup.images.cache import ProgressCallback
from semisup.images.decode_settings import DecodeSettings


@dataclass(frozen=True)
class EuroSat:
    """`root`: the folder that holds `eurosat/2750/<class>/`; `size` in [1, 4096] pixels; `labels_per_class` >= 1 or
    null for all; `test_share` and `validation_share`: above 0, together at most 0.9; `imbalance` and
    `imbalance_unlabeled` >= 1; `max_bad_fraction` in [0, 1] of each split; `workers` >= 1 or null for one a core;
    `memory_gb` >= 0 or null."""

    root: str
    download: bool
    size: int
    labels_per_class: int | None
    validation_share: float
    test_share: float
    split_seed: int
    imbalance: float
    imbalance_unlabeled: float
    hflip: bool
    max_bad_fraction: float
    on_duplicate: str
    workers: int | None
    cache: str | None
    memory_gb: float | None

    def __post_init__(self) -> None:
        check_range("test_share", self.test_share, 0, 1, above=True)
        check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        check(self)
        self._portions()

    def _portions(self) -> SplitFractions:
        return SplitFractions(
            self.test_share, self.validation_share, self.labels_per_class, self.imbalance, self.imbalance_unlabeled
        )

    def recipe(self) -> DecodeSettings:
        return DecodeSettings(self.size, resize="stretch", draft=False, background=0, max_pixels=50_000_000)

    def survey(self) -> DatasetInfo:
        root = Path(self.root).expanduser()
        reader = open_reader("EuroSAT", ("eurosat/2750",), root, self.download)
        classes = tuple(name for name in reader.classes if not name.startswith("."))
        samples = [(Path(path), reader.classes[target]) for path, target in reader.samples]
        kept = [(path, classes.index(name)) for path, name in samples if name in classes and path.name[0] != "."]
        images = part_of(root, kept)
        rows = split_by_class(numpy.array(images.targets), classes, self.split_seed, self._portions())
        parts = {split: images.rows(rows[split].tolist()) for split in SPLITS}
        hidden = parts["unlabeled"].targets
        parts["unlabeled"] = parts["unlabeled"].hidden()
        found = FileIndex(parts, hidden, {"images": images.files}, {"hidden": len(samples) - len(kept)})
        return DatasetInfo(classes, 3, self.size, {split: len(parts[split].files) for split in SPLITS}, found)

    def read(self, info: DatasetInfo, watch: ProgressCallback) -> Data:
        return read_files(self, info.classes, info.found, watch)
