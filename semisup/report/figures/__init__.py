"""Draw the charts of runs and comparisons; each module draws one chart as a matplotlib Figure.

The same Figure is rendered as PNG and SVG and uploaded to W&B. This package imports matplotlib first, with the
environment variable MPLBACKEND removed: a notebook sets it for its own kernel, and that backend may be missing in this
process. The figures have explicit canvases, so they need no backend.
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
