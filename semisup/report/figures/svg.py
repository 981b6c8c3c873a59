"""Render a matplotlib figure as an SVG element that uses the colors of the HTML page around it.

The colors of THEME become CSS variables, so that the figure is legible on a light, dark or printed page. The SVG has
text, not paths of letters. It contains no script and no links to other files.
"""

import io
import re
from html import escape

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from semisup.report.figures.style import BLACK, COLORS, GRAY, GRID, PALE, WHITE

THEME = {
    BLACK: "var(--ink)",
    WHITE: "var(--paper)",
    GRAY: "var(--faint)",
    PALE: "var(--pale)",
    GRID: "var(--line)",
} | {color: f"var(--color{number})" for number, color in enumerate(COLORS)}


def render_svg(figure: Figure, name: str, alternative: str) -> str:
    """Render a matplotlib figure as an <svg> element of an HTML page; equal figures give equal text.

    Args:
        figure: a figure that was drawn within `figure_style(transparent=True)`.
        name: prefix of the ids in the SVG: letters, unique in the page.
        alternative: description of the figure for readers who cannot see it.
    """
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    # `savefig` would draw everything twice
    FigureCanvasSVG(figure).print_svg(buffer, metadata=metadata)  # type: ignore[no-untyped-call]
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
    label = escape(alternative)
    return f'<svg {size[0]} xmlns:xlink="http://www.w3.org/1999/xlink" role="img" aria-label="{label}">{rest}'
