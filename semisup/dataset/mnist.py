"""MNIST: 70,000 gray images of handwritten digits, 28 x 28 pixels, ten classes; 60,000 to train, 10,000 to test.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits" (1998).
"""

from dataclasses import dataclass
from typing import ClassVar

from semisup.dataset._torchvision_arrays import TorchvisionArrays
from semisup.dataset._torchvision_readers import ReaderSpec, idx_source


@dataclass(frozen=True)
class Mnist(TorchvisionArrays):
    """Settings of MNIST: the keys of `conf/dataset/mnist.yaml`."""

    source: ClassVar[ReaderSpec] = idx_source("MNIST")
