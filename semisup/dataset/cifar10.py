"""CIFAR-10: 60,000 color photographs of 32 x 32 pixels, ten classes; 50,000 to train, 10,000 to test.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
"""

from dataclasses import dataclass
from typing import ClassVar

from semisup.dataset._torchvision_arrays import TorchvisionArrays
from semisup.dataset._torchvision_readers import ReaderSpec, by_flag, nhwc


@dataclass(frozen=True)
class Cifar10(TorchvisionArrays):
    """Settings of CIFAR-10: the keys of `conf/dataset/cifar10.yaml`."""

    source: ClassVar[ReaderSpec] = by_flag(
        "CIFAR10",
        3,
        nhwc,
        (
            "cifar-10-batches-py/data_batch_1",
            "cifar-10-batches-py/data_batch_2",
            "cifar-10-batches-py/data_batch_3",
            "cifar-10-batches-py/data_batch_4",
            "cifar-10-batches-py/data_batch_5",
            "cifar-10-batches-py/test_batch",
            "cifar-10-batches-py/batches.meta",
        ),
    )
