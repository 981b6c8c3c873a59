"""Import torchvision, with a workaround for builds that were compiled for another version of torch.

torchvision from PyPI is built for CUDA torch. With a CPU-only torch, its compiled operators cannot be loaded. Then
`import torchvision` fails, because one of its modules declares operators that do not exist. Replacing this module by an
empty one is enough for torchvision's models, data sets and transforms.
"""

import importlib
import sys
from types import ModuleType


def torchvision(part: str = "") -> ModuleType:
    """Import `torchvision`, or its module `torchvision.<part>`.

    The workaround is used only if a normal import fails.
    """
    name = f"torchvision.{part}" if part else "torchvision"
    try:
        return importlib.import_module(name)
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
    for module in [module for module in sys.modules if module.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    sys.modules["torchvision._meta_registrations"] = ModuleType("torchvision._meta_registrations")
    return importlib.import_module(name)
