"""Street View House Numbers, cropped: color photographs of digits, 32 x 32 pixels; 73,257 to train, 26,032 to test.

The 531,131 easier `extra` images are not read.

Source: Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning" (2011).
"""

from dataclasses import dataclass
from typing import ClassVar

from semisup.dataset._torchvision_arrays import TorchvisionArrays
from semisup.dataset._torchvision_readers import ReaderSpec, nchw


@dataclass(frozen=True)
class Svhn(TorchvisionArrays):
    """Settings of Street View House Numbers: the keys of `conf/dataset/svhn.yaml`."""

    source: ClassVar[ReaderSpec] = ReaderSpec(
        reader="SVHN",
        channels=3,
        train=("split", "train"),
        test=("split", "test"),
        planes=nchw,
        targets="labels",
        classes=tuple("0123456789"),
        files=("train_32x32.mat", "test_32x32.mat"),
    )
