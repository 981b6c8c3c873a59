"""CIFAR-100: 60,000 color photographs of 32 x 32 pixels, 100 classes; 50,000 to train, 10,000 to test.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from dataclasses import dataclass
from typing import ClassVar

from semisup.dataset._torchvision_arrays import TorchvisionArrays
from semisup.dataset._torchvision_readers import ReaderSpec, by_flag, nhwc


@dataclass(frozen=True)
class Cifar100(TorchvisionArrays):
    """Settings of CIFAR-100: the keys of `conf/dataset/cifar100.yaml`."""

    source: ClassVar[ReaderSpec] = by_flag(
        "CIFAR100", 3, nhwc, ("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta")
    )
