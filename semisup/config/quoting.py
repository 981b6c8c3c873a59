"""Write values in Hydra's override grammar. This module imports no torch."""

import re
from typing import Any


def format_value(value: Any) -> str:
    """Write plain data in Hydra's override grammar, so that Hydra composes exactly this value."""
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
    """Quote text for Hydra, which then takes it literally, except for interpolations such as `${seed}`.

    Only backslashes before a quote and at the end are doubled, because Hydra unescapes no others.
    """
    return "'" + re.sub(r"\\+(?='|\Z)", lambda backslashes: 2 * backslashes[0], text).replace("'", "\\'") + "'"
