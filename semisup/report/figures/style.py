"""Colors and style of all figures, which do not depend on the user's matplotlibrc."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLACK, WHITE, GRAY, PALE, GRID = "#000000", "#ffffff", "#777777", "#e8f1f8", "#dddddd"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, which readers with any color vision can distinguish."""
BLUE, ORANGE, GREEN, PINK = COLORS[:4]

WIDTH_INCHES = 9
DOTS_PER_INCH = 100
STYLE: Any = {
    "text.usetex": False,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "semisup",
}
"""matplotlib settings of all figures. Names are never parsed as formulas: `$1_to_$5` is drawn as it is."""
TRANSPARENT: Any = {"figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none"}


@contextmanager
def figure_style(*, transparent: bool = False) -> Iterator[None]:
    """Apply matplotlib's defaults and STYLE, instead of the user's settings, within this context.

    Figures are drawn and rendered within the context.

    Args:
        transparent: whether figures have no background, for an SVG inside a page.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        with matplotlib.rc_context(STYLE | (TRANSPARENT if transparent else {})):
            yield


def make_figure(height_inches: float) -> Figure:
    """Create an empty figure of the common width."""
    return Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")


def render_png(figure: Figure) -> bytes:
    """Render a figure as PNG; equal figures give equal bytes."""
    figure.set_dpi(DOTS_PER_INCH)
    buffer = io.BytesIO()
    # `savefig` would draw everything twice
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def format_axes(axes: Axes, x: str, y: str) -> None:
    """Label the axes, draw a faint grid, and remove the frame."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def set_share_limits(axes: Axes, low: float) -> None:
    """Set the limits of a y axis that shows shares to [low, 1], with a margin."""
    margin = max(0.04 * (1 - low), 0.002)
    axes.set_ylim(max(low - margin, -0.02), 1 + margin)
