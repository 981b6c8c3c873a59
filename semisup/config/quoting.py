"""Write values in Hydra's override grammar. Imports no torch."""

import re
from typing import Any


def format_value(value: Any) -> str:
    """Write plain data in Hydra's override grammar: text is quoted, so that nothing in it is read as grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(format_value(each) for each in value)}]"
    return quote(value) if isinstance(value, str) else repr(value)


def quote(text: str) -> str:
    """Quote text for Hydra's override grammar, which composes exactly this text.

    Hydra unescapes backslashes only before a quote and at the end of quoted text; OmegaConf, which resolves
    interpolations in quoted text too, only before `${`.
    """
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return "'" + re.sub(r"\\+(?='|\Z)", lambda backslashes: 2 * backslashes[0], text).replace("'", "\\'") + "'"
