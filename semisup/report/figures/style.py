"""Colors and style of all figures; the user's matplotlibrc has no effect on them."""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font
from matplotlib.ft2font import FT2Font

from semisup.text import escape

BLACK, WHITE, GRAY, PALE, GRID = "#000000", "#ffffff", "#777777", "#e8f1f8", "#dddddd"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, which readers with any color vision can distinguish."""
BLUE, ORANGE, GREEN, PINK = COLORS[:4]

WIDTH_INCHES = 9
DOTS_PER_INCH = 100
FONTS = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei"),
    *("WenQuanYi Micro Hei", "Droid Sans Fallback", "Hiragino Sans GB", "PingFang SC", "Microsoft YaHei"),
    *("Malgun Gothic", "Noto Sans Arabic", "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS"),
)
"""Fonts for names in any script. A letter is drawn with the first of them that is installed and has the letter."""

STYLE: Any = {
    "text.usetex": False,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "semisup",
}
"""matplotlib settings of all figures. Names are not parsed as formulas: `$1_to_$5` is drawn as it is."""
TRANSPARENT: Any = {"figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none"}


@contextmanager
def figure_style(*, transparent: bool = False) -> Iterator[None]:
    """Return a context with matplotlib's defaults and STYLE instead of the user's settings.

    Figures must be drawn and rendered in this context.

    Args:
        transparent: whether figures have no background, for an SVG inside a page.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # `class_labels` replaces such names
        matplotlib.rcdefaults()
        fonts = {"font.family": [*installed_fonts(), "sans-serif"]}
        with matplotlib.rc_context(STYLE | fonts | (TRANSPARENT if transparent else {})):
            yield


@cache
def installed_fonts() -> dict[str, FT2Font]:
    """Load those fonts of FONTS that are installed, and return name -> font.

    DejaVu Sans is always installed, because it comes with matplotlib.
    """
    installed = {entry.name: entry.fname for entry in fontManager.ttflist if entry.style == "normal"}
    return {name: get_font(installed[name]) for name in FONTS if name in installed}


def class_labels(classes: Sequence[str], max_letters: int) -> tuple[list[str], str]:
    """Shorten the names of classes for a plot. A name that no installed font can draw is replaced by a number.

    Returns:
        One label for each class, and a note about the numbers; the note is "" if there are none.
    """
    names = [escape(name)[:max_letters] for name in classes]
    fonts = installed_fonts().values()
    labels = [
        name if all(any(font.get_char_index(ord(letter)) for font in fonts) for letter in name) else f"class {number}"
        for number, name in enumerate(names)
    ]
    note = "class N: its name is in run.json,\ncounted from 0; no font here has it"
    return labels, "" if labels == names else note


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
