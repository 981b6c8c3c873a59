"""Handwritten digits that are part of scikit-learn: 1,797 gray images of 8 x 8 pixels, ten classes.

The images are divided at random into the splits, with the same share of every class.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository
(1998), the test part.
"""

import gzip
import hashlib
import importlib.util
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image

from semisup.core.class_split import SplitFractions, split_by_class
from semisup.core.types import SPLITS, Images
from semisup.dataset._only_classes import ClassNames, class_names, keep_classes
from semisup.dataset._protocol import Data, DatasetInfo
from semisup.dataset._roles import FOLD, NO_EFFECT, SPLIT_SEED, WHEN_SET
from semisup.errors import check_range
from semisup.images.cache import ProgressCallback
from semisup.images.decode_settings import DecodeSettings


@dataclass(frozen=True)
class Digits:
    """Settings of the digits of scikit-learn: the keys of `conf/dataset/digits.yaml`."""

    size: int
    labels_per_class: int
    validation_share: float
    test_share: float
    validation_per_class: int | None
    folds: int | None = field(metadata=WHEN_SET)
    fold: int | None = field(metadata=FOLD)
    split_seed: int = field(metadata=SPLIT_SEED)
    only_classes: ClassNames = field(metadata=WHEN_SET)
    hflip: bool = field(metadata=NO_EFFECT)

    def __post_init__(self) -> None:
        check_range("size", self.size, 8, 1024)
        check_range("test_share", self.test_share, 0, 1, above=True)
        check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        object.__setattr__(self, "only_classes", class_names(self.only_classes))
        self._fractions()

    def _fractions(self) -> SplitFractions:
        return SplitFractions(
            self.test_share,
            self.validation_share,
            self.labels_per_class,
            1,
            1,
            self.validation_per_class,
            self.folds,
            self.fold,
        )

    def decode_settings(self) -> DecodeSettings:
        """Return the settings by which `semisup predict` decodes image files, which must show white digits on black."""
        return DecodeSettings(self.size, resize="stretch", draft=False, background=0, max_pixels=50_000_000)

    def inspect(self) -> DatasetInfo:
        images, targets = load_digits_csv()
        classes = tuple(str(name) for name in range(10))
        kept = keep_classes(classes, self.only_classes)
        parts = kept.assign(split_by_class(targets, classes, self.split_seed, self._fractions()), targets)
        counts = {split: len(parts[split]) for split in SPLITS}
        return DatasetInfo(kept.names, 1, self.size, counts, (images, kept.renumber(targets), parts))

    def read(self, info: DatasetInfo, watch: ProgressCallback) -> Data:
        images, targets, parts = info.index
        gray = numpy.rint(images * (255 / 16)).astype(numpy.uint8)  # 0..16 -> 0..255
        pixels = numpy.stack([self._resized(image) for image in watch(gray, "reading digits", len(gray))])
        split: dict[str, Any] = {name: _images(pixels, targets, parts[name]) for name in SPLITS}
        hidden = split["unlabeled"].targets
        split["unlabeled"] = replace(split["unlabeled"], targets=torch.full_like(hidden, -1))
        digest = hashlib.sha256(pixels.tobytes() + b"".join(parts[name].tobytes() for name in SPLITS)).hexdigest()
        return Data(**split, hidden_targets=hidden, classes=info.classes, fingerprint=digest)

    def _resized(self, image: Any) -> Any:
        if self.size == image.shape[0]:
            return image
        return numpy.asarray(Image.fromarray(image).resize((self.size, self.size), Image.Resampling.BILINEAR))


def load_digits_csv() -> tuple[Any, Any]:
    """Load the images and classes that scikit-learn's `load_digits` returns, without importing scikit-learn.

    Returns:
        images, (1797, 8, 8) float64 in [0, 16], and class numbers, (1797,) int64.
    """
    # scikit-learn is not imported, because that takes 2 s
    package = importlib.util.find_spec("sklearn")
    candidates = [
        Path(each) / "datasets" / "data" / "digits.csv.gz"
        for each in getattr(package, "submodule_search_locations", [])
    ]
    files = [each for each in candidates if each.is_file()]
    if not files:  # another layout of scikit-learn
        from sklearn.datasets import load_digits

        digits = load_digits()
        return digits.images, digits.target.astype(numpy.int64)
    with gzip.open(files[0], "rt") as file:
        table = numpy.loadtxt(file, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(numpy.int64)


def _images(pixels: Any, targets: Any, index: Any) -> Images:
    paths = [f"digits/{number:04d}" for number in index]
    return Images(torch.from_numpy(pixels[index]).unsqueeze(1).contiguous(), torch.from_numpy(targets[index]), paths)
