"""Import torchvision, working around builds that were compiled for another torch.

torchvision from PyPI is built against CUDA torch. Beside a CPU-only torch its compiled operators cannot
load, and `import torchvision` then fails because it describes operators that do not exist. An empty
module in place of those descriptions is enough for its models, data sets and transforms.
"""

import importlib
import sys
from types import ModuleType


def torchvision(part: str = "") -> ModuleType:
    """Import `torchvision` or `torchvision.<part>`, with the workaround only if the import fails."""
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
