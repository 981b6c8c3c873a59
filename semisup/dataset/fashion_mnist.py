"""Fashion-MNIST: 70,000 gray images of clothes, 28 x 28 pixels, ten classes; 60,000 to train, 10,000 to test.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms" (arXiv:1708.07747).
"""

from dataclasses import dataclass
from typing import ClassVar

from semisup.dataset._torchvision_arrays import TorchvisionArrays
from semisup.dataset._torchvision_readers import ReaderSpec, idx_source


@dataclass(frozen=True)
class FashionMnist(TorchvisionArrays):
    """Settings of Fashion-MNIST: the keys of `conf/dataset/fashion_mnist.yaml`."""

    source: ClassVar[ReaderSpec] = idx_source("FashionMNIST")
