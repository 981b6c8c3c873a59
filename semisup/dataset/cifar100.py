"""CIFAR-100: 60,000 color photographs of 32 x 32 pixels, a hundred classes; 50,000 to train, 10,000 to test.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from dataclasses import dataclass
from typing import ClassVar

from semisup.dataset._torchvision_arrays import Arrays
from semisup.dataset._torchvision_readers import Source, by_flag, planes_last


@dataclass(frozen=True)
class Cifar100(Arrays):
    """What conf/dataset/cifar100.yaml says of each key; ranges in `Arrays`."""

    source: ClassVar[Source] = by_flag(
        "CIFAR100", 3, planes_last, ("cifar-100-python/train", "cifar-100-python/test", "cifar-100-python/meta")
    )
