"""Secrets of whoever runs this: what the environment calls a key, a token or a password, and passwords in addresses.

What is written about a run (command line, errors, uncommitted changes) is hidden in first; a setting that is a secret
is refused, for settings are saved and shown.
"""

import os
import re
from collections.abc import Mapping

WORDS = {"KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS"}
SHORTEST = 8  # characters; shorter values are words
IN_ADDRESS = re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)")


def secrets(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Name -> value of each variable that holds a secret by its name, as `WANDB_API_KEY`; longest values first."""
    found = {
        name: value
        for name, value in environment.items()
        if len(value) >= SHORTEST and WORDS & set(re.split(r"[^A-Z]+", name.upper()))
    }
    return dict(sorted(found.items(), key=lambda each: -len(each[1])))


def redact(text: str) -> str:
    """The same text with the name of a secret in place of each."""
    for name, value in secrets().items():
        text = text.replace(value, f"[{name}]")
    return IN_ADDRESS.sub("[hidden]", text)


def secret_in(value: object) -> str | None:
    """The name of the secret that a setting holds. What is also a path, or a number, is none."""
    if not isinstance(value, str) or os.path.exists(value):
        return None
    return next((name for name, secret in secrets().items() if secret in value), None)
