"""semisup: train image classifiers with pseudo-labels, sweep and compare settings, and reproduce runs bit for bit.

    semisup.train(overrides)    train one run
    semisup.compare(folder)     compare runs, as a pandas.DataFrame
    semisup.load(run)           load the best model of a run, to classify images

`semisup.api` has these functions; it is imported at the first use, because it imports torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semisup.api import FinishedRun, compare, load, train

__version__ = "0.2.0"
__all__ = ["FinishedRun", "__version__", "compare", "load", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("semisup.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
