"""Render an HTML page as one self-contained file that opens without a server or network connection.

Figures, thumbnails, style and script are inside the page. A content security policy forbids all other files and
scripts, and Jinja escapes every name.
"""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from semisup.report.figures.svg import render_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ASSETS = Path(__file__).parent / "templates"
PAGES = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def render_page(template: str, **content: object) -> bytes:
    """Render an HTML template with `content`; equal content gives equal bytes."""
    script, style = ((ASSETS / f"report.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    frame = {"style": Markup(style), "script": Markup(script), "script_hash": digest}
    return PAGES.get_template(template).render(**frame, **content).encode(errors="backslashreplace")


def chart_section(id_: str, title: str, figure: "Figure | None", caption: str) -> dict[str, Any]:
    """Create a page section with a figure and its caption. Without a figure, the section has only the caption."""
    svg = Markup(render_svg(figure, f"{id_}-", f"{title}. {caption}")) if figure is not None else None
    return {"id": id_, "title": title, "svg": svg, "caption": caption}
