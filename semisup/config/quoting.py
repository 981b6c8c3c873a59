"""Format values so that Hydra parses them correctly on its command line. This module imports no torch."""

import re
from typing import Any


def format_value(value: Any) -> str:
    """Format a value for the command line of Hydra, so that Hydra parses exactly this value."""
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
    """Quote text for the command line of Hydra. Interpolations such as `${seed}` are still interpreted.

    Hydra interprets backslashes before a quote and at the end of the text, so these are doubled.
    """
    return "'" + re.sub(r"\\+(?='|\Z)", lambda backslashes: 2 * backslashes[0], text).replace("'", "\\'") + "'"
