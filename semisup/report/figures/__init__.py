"""Draw the charts of runs and comparisons; each module draws one chart as a matplotlib Figure.

The same Figure is rendered as PNG and SVG and uploaded to W&B. While matplotlib is imported, the environment variable
MPLBACKEND is removed, because it can name a notebook's backend that is not installed here.
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
