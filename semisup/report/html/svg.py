"""A matplotlib figure as an SVG that stands inside a page, and takes its colors from the page's style.

What is drawn in one of the colors of THEME is black, gray or colored as the page says: light, dark or printed. Text
stays text. Names are matplotlib's business to escape; nothing in the result can be fetched or run.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

BLACK, WHITE, GRAY, PALE, GRID = "#000000", "#ffffff", "#777777", "#e8f1f8", "#dddddd"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's
THEME = {
    BLACK: "var(--ink)",
    WHITE: "var(--paper)",
    GRAY: "var(--faint)",
    PALE: "var(--pale)",
    GRID: "var(--line)",
} | {color: f"var(--color{number})" for number, color in enumerate(COLORS)}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "semisup",
    "text.parse_math": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def svg_style() -> Iterator[None]:
    """While in here, figures are drawn for `svg`."""
    with matplotlib.rc_context(STYLE):
        yield


def svg(figure: Figure, name: str, alternative: str) -> Markup:
    """The figure as an <svg> element; the same bytes for the same drawing.

    Args:
        figure: drawn within `svg_style`.
        name: of letters, unique in the page.
        alternative: what it shows, for whoever cannot see it.
    """
    buffer = io.StringIO()
    FigureCanvasSVG(figure)
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda match: THEME.get(match[0], match[0]), text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r'\b(?:d|x|y|transform)="[^"]*"', lambda match: re.sub(r"(\.\d\d)\d+", r"\1", match[0]), text)
    text = re.sub(r"\n\s+", "\n", text)  # of 30 curves of 300 points, half of it was decimals and indentation
    text = text.replace("<a ", '<a tabindex="-1" ').replace(' target="_blank"', "")
    opening, rest = text.split(">", 1)
    size = re.search(r'viewBox="[^"]*"', opening)
    assert size is not None
    label = Markup.escape(alternative)
    return Markup(f'<svg {size[0]} xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{label}">{rest}')
