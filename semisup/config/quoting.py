"""Write values in Hydra's override grammar. Imports no torch."""

import re
from typing import Any


def format_value(value: Any) -> str:
    """Write plain data in Hydra's override grammar, so that exactly this value is composed."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(format_value(each) for each in value)}]"
    if isinstance(value, str):
        # OmegaConf resolves interpolations in quoted text, and unescapes backslashes only before `${`
        return quote(re.sub(r"(\\*)\$\{", r"\1\1\\${", value))
    return repr(value)


def quote(text: str) -> str:
    """Quote text, so that nothing in it is read as grammar; interpolations such as `${seed}` are resolved.

    Hydra unescapes backslashes only before a quote and at the end.
    """
    return "'" + re.sub(r"\\+(?='|\Z)", lambda backslashes: 2 * backslashes[0], text).replace("'", "\\'") + "'"
