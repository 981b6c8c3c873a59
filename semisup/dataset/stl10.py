"""STL-10: color photographs of 96 x 96 pixels, ten classes; 5,000 to train, 8,000 to test, 100,000 without a class.

The images without a class show the ten classes and other objects. They are unlabeled images, as are the training images
that are neither labeled nor validation images.

Source: A. Coates, H. Lee, A. Y. Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning" (2011).
"""

from dataclasses import dataclass
from typing import ClassVar

from semisup.dataset._torchvision_arrays import TorchvisionArrays
from semisup.dataset._torchvision_readers import ReaderSpec, nchw

UNLABELED = "stl10_binary/unlabeled_X.bin"


@dataclass(frozen=True)
class Stl10(TorchvisionArrays):
    """Settings of STL-10: the keys of `conf/dataset/stl10.yaml`."""

    source: ClassVar[ReaderSpec] = ReaderSpec(
        reader="STL10",
        channels=3,
        train=("split", "train"),
        test=("split", "test"),
        planes=nchw,
        targets="labels",
        classes=(),
        files=(
            "stl10_binary/train_X.bin",
            "stl10_binary/train_y.bin",
            "stl10_binary/test_X.bin",
            "stl10_binary/test_y.bin",
            UNLABELED,
            "stl10_binary/class_names.txt",
        ),
        own_unlabeled=(("split", "unlabeled"), UNLABELED, 3 * 96 * 96),
    )
