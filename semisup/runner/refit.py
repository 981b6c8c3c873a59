"""Prepare the data of a refit (`train.refit`): training on labeled and validation images, without evaluation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch

from semisup.core.types import Images
from semisup.dataset import Data
from semisup.images.on_disk import LazyImages, concatenate


def refit_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Compute the number of images of each split in a refit, from the numbers without refit.

    Validation images become labeled images, and test images are not used.
    """
    return {**counts, "labeled": counts["labeled"] + counts["validation"], "validation": 0, "test": 0}


def refit_data(data: Data) -> Data:
    """Convert data to those of a refit: validation images become labeled images, and test images are left out."""
    parts = [cast("torch.Tensor | LazyImages", images.pixels) for images in (data.labeled, data.validation)]
    pixels = concatenate(parts) if len(data.validation) else data.labeled.pixels
    targets = torch.cat([data.labeled.targets, data.validation.targets])
    labeled = Images(pixels, targets, data.labeled.paths + data.validation.paths)
    nothing = Images(torch.empty(0, *pixels.shape[1:], dtype=torch.uint8), torch.empty(0, dtype=torch.int64), [])
    return replace(data, labeled=labeled, validation=nothing, test=nothing)
