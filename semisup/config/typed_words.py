"""Convert the words that a user types to Hydra's grammar, or parse them for commands that do not use Hydra."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from semisup.config.compose import option_files
from semisup.config.quoting import quote
from semisup.errors import SettingError, first_line
from semisup.record.reader import parse_value
from semisup.text import listed

ASSIGNMENT = re.compile(r"(?P<key>[+]{0,2}[\w./@-]+)=(?P<value>.*)", re.ASCII | re.DOTALL)


def to_overrides(words: list[str]) -> list[str]:
    """Translate typed words into overrides that Hydra can parse.

    A value that Hydra's grammar does not accept is taken as text: `dataset.root=~/photos (2026)` needs no quotes for
    Hydra. `threshold=glob(f*)` becomes the list of the options that match.

    Raises:
        SettingError: a word is not of the form key=value, or `glob` matches no option.
    """
    return [_to_override(word) for word in words]


def _to_override(word: str) -> str:
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        typed = ASSIGNMENT.fullmatch(word)
        if typed is None:
            raise SettingError("override", word, f"must have the form key=value ({first_line(error)})") from None
        return f"{typed['key']}={quote(typed['value'])}"
    value: object = override.value()
    return _expand_glob(override, value) if isinstance(value, Glob) else word


def _expand_glob(override: Override, pattern: Glob) -> str:
    names = option_files(override.key_or_group)
    matches = pattern.filter(names)
    if not matches:
        allowed = f"must match one of {', '.join(names)}" if names else "glob lists the options of a group; type values"
        raise SettingError(override.get_key_element(), str(override.input_line).partition("=")[2], allowed)
    return f"{override.get_key_element()}={','.join(matches)}"


def parse_settings(words: Iterable[str], allowed: Sequence[str] = ()) -> dict[str, Any]:
    """Parse the KEY=VALUE words of a command that composes no config.

    Args:
        allowed: allowed keys; every `tracking.KEY` is allowed too.

    Raises:
        SettingError: a word is not of the form KEY=VALUE, or its key is not allowed.
    """
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or (key not in allowed and not key.startswith("tracking.")):
            raise SettingError(key, text, f"may not be set here, only {listed([*allowed, 'tracking.*'], 'and')}")
        settings[key] = parse_value(text)
    return settings
