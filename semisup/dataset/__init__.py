"""Data sets: labeled, unlabeled, validation and test images, resident as uint8.

Two calls, so that everything that can be wrong is said before any image is decoded: `survey` looks, `read`
reads.
"""

from semisup.core.types import SPLITS
from semisup.dataset._image_files import resident_bytes
from semisup.dataset._lookup import some_images
from semisup.dataset._protocol import Data, Dataset, DatasetInfo

__all__ = ["SPLITS", "Data", "Dataset", "DatasetInfo", "resident_bytes", "some_images"]
