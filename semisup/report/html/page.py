"""A page of ours as bytes: one self-contained file that opens without a server and without a network.

Drawings are matplotlib's, in the page's colors; thumbnails, style and script are in the page. Its own policy lets
nothing in from elsewhere and runs no script but ours, and every name in it is escaped by Jinja.
"""

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

ASSETS = Path(__file__).parent / "templates"
PAGES = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def render_page(template: str, **content: object) -> bytes:
    """`template`, of the folder report/, filled with `content`; the same bytes for the same content."""
    script, style = ((ASSETS / f"report.{kind}").read_text(encoding="utf-8") for kind in ("js", "css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    frame = {"style": Markup(style), "script": Markup(script), "script_hash": digest}
    return PAGES.get_template(template).render(**frame, **content).encode()
