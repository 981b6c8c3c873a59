"""Import torchvision, also if it was built for CUDA and torch for the CPU only.

In this case `import torchvision` fails, because one of its modules refers to operators that cannot be loaded. The
workaround is to replace this module by an empty one.
"""

import importlib
import sys
from types import ModuleType


def torchvision(part: str = "") -> ModuleType:
    """Import `torchvision`, or its module `torchvision.<part>`, and return it."""
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
