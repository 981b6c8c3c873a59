"""Data sets: read labeled, unlabeled, validation and test images as arrays of uint8 pixels.

`Dataset.inspect` finds the images and checks the settings; `Dataset.read` decodes the images.
"""

from semisup.core.types import SPLITS
from semisup.dataset._image_files import resident_bytes
from semisup.dataset._lookup import image_files, some_images
from semisup.dataset._named_images import is_table, named_images
from semisup.dataset._protocol import Data, Dataset, DatasetInfo, ScansFolders
from semisup.dataset._roles import KeyRole, keys_with_role
from semisup.dataset._table import read_table
from semisup.dataset._table_rows import Table
from semisup.dataset._truth import identify_truth

__all__ = [
    "SPLITS",
    "Data",
    "Dataset",
    "DatasetInfo",
    "KeyRole",
    "ScansFolders",
    "Table",
    "identify_truth",
    "image_files",
    "is_table",
    "keys_with_role",
    "named_images",
    "read_table",
    "resident_bytes",
    "some_images",
]
