"""Recognize secrets and replace them in everything that is written: the one definition of what a secret looks like.

A secret is
    by its name       the value of WANDB_API_KEY, PGPASSWORD, DB_PWD, GITHUB_PAT, ...: in the environment, and in text
                      of the form NAME=value or `name: value`
    by its value      whatever an environment variable of such a name holds, anywhere in a text
    by its format     user information in a URL, and the tokens of well-known services (`FORMATS`)

A setting that is a secret is refused, because settings are saved and shown.
"""

import os
import re
from collections.abc import Mapping
from typing import Any

MIN_LENGTH = 8
"""Characters; shorter values are words, and replacing them would garble the text."""

HIDDEN = "[hidden]"

_WORDS = {"KEY", "APIKEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL"}
_LAST_WORDS = {"PWD", "PAT", "PASS"}
"""Secret only as the last of several words: PWD alone is the working directory."""

_ENDINGS = ("PASSWORD", "PASSWD", "SSHPASS", "APIKEY", "TOKEN")
"""Of a name without separators, as in PGPASSWORD."""

_WHOLE = r"(?P<value>\[?[\"']?[^\s\"'{}$<(\[\]](?:[^\s\"',;(){}]|,(?=\S)){7,}[\"']?)"
_NAME = r"(?P<name>(?<![A-Za-z0-9_-])-{0,2}[A-Za-z_][A-Za-z0-9_-]{0,80})"  # from its start: linear in the text
_ASSIGNMENTS = (
    re.compile(_NAME + r"(?:=)" + _WHOLE),
    re.compile(_NAME + r"(?:[\"']?[ \t]*[:=][ \t]*\[?)(?P<value>\"[^\"\n]{8,}\"|'[^'\n]{8,}')"),
    re.compile(r"(?m)^[+\- ]*(?:export +)?[\"']?" + _NAME + r"(?:[\"']?[ \t]*[:=][ \t]+)" + _WHOLE),
)
"""NAME=value; name: "value"; a line `name: value`. What follows `$`, `(` or `<` is no literal value."""

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


def is_secret_name(name: str) -> bool:
    """Whether a variable or key of this name holds a secret."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    words = [word for word in re.split(r"[^A-Z]+", spaced.upper()) if word]
    if not words:
        return False
    singular = {word.removesuffix("S") for word in words} | set(words)
    last = len(words) > 1 and words[-1] in _LAST_WORDS
    return bool(singular & _WORDS) or last or words[-1].endswith(_ENDINGS)


def secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Name -> value of each environment variable that holds a secret; longest values first.

    A value that is the path of a file that exists is none.
    """
    variables = os.environ if environment is None else environment
    matches = {
        name: value
        for name, value in variables.items()
        if len(value) >= MIN_LENGTH and is_secret_name(name) and not os.path.exists(value)
    }
    return dict(sorted(matches.items(), key=lambda item: -len(item[1])))


def redact(text: str) -> str:
    """Replace each secret by the name of its variable in brackets, or by [hidden]."""
    return _redact(text, secrets())


def redact_values(value: Any) -> Any:
    """The same nested data with every text redacted, keys included; what a secret name points to is a secret."""
    return _redact_values(value, secrets())


def secret_in(value: object) -> str | None:
    """How to name the secret that a setting contains, None if it contains none: $NAME, or [hidden]."""
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
    """In text, `key` alone is a word of code (`key=value`); `keys` and `tokens` count things."""
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
