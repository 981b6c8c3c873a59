"""Recognize secrets, such as API keys, and replace them in all text that is written.

A text is a secret

    by its name       if it is the value in NAME=value or `name: value`, with a name such as WANDB_API_KEY or PGPASSWORD
    by its value      if it is the value of an environment variable with such a name
    by its format     if it is the user information in a URL, or a token of a well-known service (`FORMATS`)
"""

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MIN_LENGTH = 8
"""Least number of characters of a secret; shorter values are often words."""

HIDDEN = "[hidden]"

_WORDS = {"KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL"}
_LAST_WORDS = {"PWD", "PAT", "PASS"}
"""Words that make a name secret if they are its last word, as in DB_PWD, but not its only word, as in PWD."""

_ENDINGS = ("PASSWORD", "PASSWD", "SSHPASS", "APIKEY", "TOKEN")
"""Endings of secret names that have no separators, such as PGPASSWORD."""

_WHOLE = r"(?P<value>\[?[\"']?[^\s\"'{}$<(\[\]](?:[^\s\"',;(){}]|,(?=\S)){7,}[\"']?)"
_NAME = r"(?P<name>(?<![A-Za-z0-9_-])-{0,2}[A-Za-z_][A-Za-z0-9_-]{0,80})"  # from its start: linear in the text
_ASSIGNMENTS = (
    re.compile(_NAME + r"(?:=)" + _WHOLE),
    re.compile(_NAME + r"(?:[\"']?[ \t]*[:=][ \t]*\[?)(?P<value>\"[^\"\n]{8,}\"|'[^'\n]{8,}')"),
    re.compile(r"(?m)^[+\- ]*(?:export +)?[\"']?" + _NAME + r"(?:[\"']?[ \t]*[:=][ \t]+)" + _WHOLE),
)
"""Patterns of assignments: NAME=value; name: "value"; a line `name: value`; not values that begin with $, ( or <."""

FORMATS: dict[str, "re.Pattern[str]"] = {
    name: re.compile(pattern)
    for name, pattern in {
        "URL": r"(?<=://)(?!git@)[^\s/@\"'<>]+(?=@[\w\[])",
        "GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})",
        "GitLab": r"\bgl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_-]{20,}",
        "Hugging Face": r"\b(?:hf|api_org)_[A-Za-z0-9]{20,}",
        "OpenAI, Anthropic": r"\bsk-(?:[a-z0-9]{2,12}-)*[A-Za-z0-9_]{20,}(?:-[A-Za-z0-9_-]+)?",
        "AWS": r"\b(?:AKIA|ASIA|AGPA|AIDA|AROA)[0-9A-Z]{16}\b",
        "Google": r"\bAIza[0-9A-Za-z_-]{35}|\bya29\.[0-9A-Za-z_-]{20,}",
        "Slack": r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        "npm, PyPI": r"\bnpm_[A-Za-z0-9]{36}|\bpypi-[A-Za-z0-9_-]{40,}",
        "Databricks": r"\bdapi[0-9a-f]{32}\b",
        "W&B": r"(?i)(?<=key)\W{1,5}[0-9a-f]{40}\b|\bwandb_v\d_[A-Za-z0-9_]{20,}",
        "bearer": r"(?i)(?<=bearer )[A-Za-z0-9._~+/-]{8,}=*",
        "basic": r"(?i)(?<=basic )[A-Za-z0-9+/]{12,}=*",
        "JSON web token": r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
        "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    }.items()
}


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a variable or key with this name holds a secret."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = [word for word in re.split(r"[^A-Z]+", spaced.upper()) if word]
    if not words:
        return False
    singular = {word.removesuffix("S") for word in words} | set(words)
    last = len(words) > 1 and words[-1] in _LAST_WORDS
    return bool(singular & _WORDS) or last or words[-1].endswith(_ENDINGS)


def secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Find the environment variables that hold secrets.

    A value that is the path of an existing file is not a secret.

    Returns:
        name -> value, longest values first.
    """
    variables = os.environ if environment is None else environment
    matches = {
        name: value
        for name, value in variables.items()
        if len(value) >= MIN_LENGTH and is_secret_name(name) and not os.path.exists(value)
    }
    return dict(sorted(matches.items(), key=lambda item: -len(item[1])))


def redact(text: str) -> str:
    """Replace each secret in a text by the name of its environment variable in brackets, or by [hidden]."""
    return _redact(text, secrets())


def redact_values(value: Any) -> Any:
    """Replace the secrets in all texts of nested data (mappings and lists), in keys and values.

    If a key has a secret name, such as `api_key`, its value is replaced by [hidden].
    """
    return _redact_values(value, secrets())


def secret_in(value: object) -> str | None:
    """Find a secret, such as an API key, in the value of a setting.

    Returns:
        $NAME with the name of the environment variable, or [hidden]; None if the value contains no secret.
    """
    if not isinstance(value, str) or os.path.exists(value):
        return None
    for name, secret in secrets().items():
        if secret in value:
            return f"${name}"
    return HIDDEN if any(pattern.search(value) for pattern in FORMATS.values()) else None


def _redact(text: str, known: Mapping[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(value, f"[{name}]")
    for pattern in FORMATS.values():
        text = pattern.sub(HIDDEN, text)
    replaced = {HIDDEN, *(f"[{name}]" for name in known)}

    def hide_value(match: "re.Match[str]") -> str:
        value, before = match["value"], match[0][: match.start("value") - match.start()]
        if not _is_assigned_secret_name(match["name"]):  # the value may be an assignment: --option=NAME=value
            return before + hide_values(value) + match[0][len(before) + len(value) :]
        return match[0] if value.strip("\"'") in replaced else before + HIDDEN

    def hide_values(part: str) -> str:
        for pattern in _ASSIGNMENTS:
            part = pattern.sub(hide_value, part)
        return part

    return hide_values(text)


def _is_assigned_secret_name(name: str) -> bool:
    """Whether, by its name, the value of an assignment NAME=value within a text is a secret.

    The value is not a secret if the name is common in code, such as `key` or `tokens`.
    """
    return is_secret_name(name) and name.lower().lstrip("-") not in (
        "key",
        "keys",
        "token",
        "tokens",
        "sort_key",
        "cache_key",
    )


def _redact_values(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _redact(value, known)
    if isinstance(value, Mapping):
        return {
            _redact_values(name, known): HIDDEN if _is_named_secret(name, each) else _redact_values(each, known)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redact_values(each, known) for each in value]
    return value


def _is_named_secret(name: object, value: object) -> bool:
    long_text = isinstance(value, str) and len(value) >= MIN_LENGTH
    return long_text and isinstance(name, str) and _is_assigned_secret_name(name)
