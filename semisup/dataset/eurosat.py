"""EuroSAT: 27,000 satellite images of 64 x 64 pixels (RGB, Sentinel-2), ten kinds of land use.

There are no official test images: all images are divided at random into test, validation, labeled and unlabeled.

Source: P. Helber et al., "EuroSAT: A Novel Dataset and Deep Learning Benchmark for Land Use and Land Cover
Classification" (arXiv:1709.00029).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy

from semisup.core.class_split import SplitFractions, split_by_class
from semisup.core.types import SPLITS
from semisup.dataset._file_index import FileIndex, FileSplit
from semisup.dataset._image_files import ImageFiles
from semisup.dataset._only_classes import keep_classes
from semisup.dataset._protocol import DatasetInfo
from semisup.dataset._split_settings import SplitSettings
from semisup.dataset._torchvision_files import list_files
from semisup.dataset._torchvision_readers import open_reader
from semisup.errors import check_range
from semisup.images.decode_settings import DecodeSettings

FOLDER = "eurosat/2750"


@dataclass(frozen=True)
class EuroSat(SplitSettings, ImageFiles):
    """Settings of EuroSAT: the keys of `conf/dataset/eurosat.yaml`."""

    test_share: float

    def __post_init__(self) -> None:
        check_range("test_share", self.test_share, 0, 1, above=True)
        ImageFiles.__post_init__(self)
        self.check_split()

    def fractions(self) -> SplitFractions:
        return replace(super().fractions(), test_share=self.test_share)

    def decode_settings(self) -> DecodeSettings:
        return DecodeSettings(self.size, resize="stretch", draft=False, background=0, max_pixels=50_000_000)

    def scanned_folders(self) -> Mapping[str, Path]:
        return {"dataset.root": Path(self.root).expanduser() / FOLDER}

    def inspect(self) -> DatasetInfo:
        root = Path(self.root).expanduser()
        reader = open_reader("EuroSAT", (FOLDER,), root, self.download)
        classes = tuple(name for name in reader.classes if not name.startswith("."))
        samples = [(Path(path), reader.classes[target]) for path, target in reader.samples]
        visible = [(path, classes.index(name)) for path, name in samples if name in classes and path.name[0] != "."]
        images = list_files(root, visible)
        targets = numpy.array(images.targets)
        kept = keep_classes(classes, self.only_classes)
        rows = kept.assign(split_by_class(targets, classes, self.split_seed, self.fractions()), targets)
        images = FileSplit(images.files, kept.renumber(targets).tolist())
        parts = {split: images.rows(rows[split].tolist()) for split in SPLITS}
        hidden = parts["unlabeled"].targets
        parts["unlabeled"] = parts["unlabeled"].hidden()
        index = FileIndex(parts, hidden, {"images": images.files}, {"hidden": len(samples) - len(visible)})
        return DatasetInfo(kept.names, 3, self.size, {split: len(parts[split].files) for split in SPLITS}, index)
