"""Charts of runs and comparisons: one file for each, returning a matplotlib Figure that PNG, SVG and W&B share.

matplotlib is imported here first, without MPLBACKEND: a notebook sets it for its own kernel, and its backend may be
missing in this process. Figures are drawn on explicit canvases, so no backend is needed.
"""

import os


def _import_matplotlib() -> None:
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib  # noqa: F401
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


_import_matplotlib()
