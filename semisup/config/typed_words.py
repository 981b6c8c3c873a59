"""Convert the KEY=VALUE words of a command line to the form that Hydra parses, or parse them without Hydra."""

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from semisup.config.compose import expand_sweep, groups_with, option_files
from semisup.config.paired_values import EMPTY_CELL, ROWS, read_rows, require_single_sources, tagged
from semisup.config.quoting import quote
from semisup.errors import SettingError, first_line
from semisup.record.reader import parse_value
from semisup.text import listed, printable, shell_quote

ASSIGNMENT = re.compile(r"(?P<key>[+]{0,2}[\w./@-]+)=(?P<value>.*)", re.ASCII | re.DOTALL)

KEY = re.compile(r"[+~]{0,2}[\w./@-]+=.*|-.*|~.*", re.ASCII | re.DOTALL)
"""Pattern of a word that is a setting, an option (`-m`) or a deletion (`~KEY`), not a value."""

SPACED = re.compile(r"([+]{0,2}[\w./@-]+)(?: += *| *= +)(\S.*)", re.ASCII | re.DOTALL)
"""Pattern of a setting with spaces around `=` that was quoted for the shell."""

KEEP, LIMIT = "reject.keep", "reject.limit"

FROM = "from="
"""Start of the short form of `from.run=RUN`."""


def to_overrides(words: list[str], *, sweep: bool = False) -> list[str]:
    """Convert typed KEY=VALUE words to overrides that Hydra can parse.

    - A value that Hydra cannot parse becomes quoted text, so `dataset.root=~/photos (2026)` needs no quotes for Hydra.
    - `threshold=glob(f*)` becomes the list of the options that match.
    - `zip(...)` and the CSV file `sweep.rows` become paired values (`paired_values.py`).
    - `from=RUN` is short for `from.run=RUN`.

    Args:
        words: as typed.
        sweep: whether -m was given; a comma then separates values.

    Raises:
        SettingError: a word is not of the form key=value; `glob` matches no option; a comma in a text of a sweep is
            ambiguous; or a key with paired values is given twice.
    """
    _refuse_spaces(words)
    converted: list[str] = []
    for word in words:
        key, _, value = word.partition("=")
        if key == ROWS:
            converted += map(_long_form, read_rows(Path(str(parse_value(value))), _cell_to_override))
        else:
            converted.append(_to_override(_long_form(word), sweep))
    require_single_sources(converted)
    _refuse_keep_with_limit(converted)
    return converted


def _refuse_keep_with_limit(overrides: Sequence[str]) -> None:
    """Raise SettingError if `reject.keep` is given beside `reject.limit`, which replaces it.

    The check is made before the composition, because a composed config does not show whether `reject.keep` was given.
    """
    values: dict[str, list[str]] = {}
    for word in overrides:
        if (key := word.partition("=")[0].lstrip("+")) in (KEEP, LIMIT):
            values[key] = [each.partition("=")[2] for each in expand_sweep(word)[1]] or [word.partition("=")[2]]
    # a row of `sweep.rows` with an empty cell, and a job with null, may have only one of the two values
    if len(values) == 2 and not any(unset in each for each in values.values() for unset in ("null", EMPTY_CELL)):
        allowed = f"has no effect with {LIMIT}={','.join(values[LIMIT])}; give only one of them"
        raise SettingError(KEEP, ",".join(values[KEEP]), allowed)


def _refuse_spaces(words: Sequence[str]) -> None:
    """Raise SettingError if a setting was typed with spaces around `=`."""
    for number, word in enumerate(words):
        before, after = words[:number][-1:], words[number + 1 :][:1]
        if word.startswith("=") and before and "=" not in before[0]:
            parts = [*before, word, *(after if word == "=" else [])]
        elif word.endswith("=") and "=" not in word[:-1] and after and KEY.fullmatch(after[0]) is None:
            parts = [word, *after]
        elif spaced := SPACED.fullmatch(word):
            parts = [spaced[1], "=", spaced[2]]
        else:
            continue
        raise SettingError(
            "override", " ".join(parts), f"type {shlex.quote(''.join(parts))}, without spaces around the ="
        )


def _refuse_range(key: str, value: str) -> None:
    """Raise SettingError for a value such as `0..2`, and suggest a list of values."""
    ends = re.fullmatch(r"(\d+)\.\.\.?(\d+)", value)
    if ends is None or not 0 <= (count := int(ends[2]) - int(ends[1])) < 1000:
        return
    values = [*range(int(ends[1]), int(ends[2]) + 1)] if count < 10 else [f"range({ends[1]},{int(ends[2]) + 1})"]
    raise SettingError(key, value, f"must be a list of values; type -m {key}={','.join(map(str, values))}")


def _cell_to_override(word: str) -> str:
    """Convert a cell of the CSV file `sweep.rows` to an override with one value.

    Commas in the cell are part of the value.
    """
    converted = _to_override(word, sweep=False)
    if not OverridesParser.create().parse_override(converted).is_sweep_override():
        return converted
    key, _, value = word.partition("=")
    return f"{key}={quote(value)}"


def _long_form(word: str) -> str:
    """Replace `from=RUN` by `from.run=RUN`."""
    return f"from.run={word.removeprefix(FROM)}" if word.startswith(FROM) else word


def _to_override(word: str, sweep: bool) -> str:
    word = tagged(word)
    _refuse_range(*word.partition("=")[::2])
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        typed = ASSIGNMENT.fullmatch(word)
        if typed is None:
            if "=" not in word:
                raise SettingError("override", word, f"must have the form key=value; {_with_key(word)}") from None
            raise SettingError("override", word, f"must have the form key=value ({first_line(error)})") from None
        if typed["value"].endswith(","):
            raise SettingError(typed["key"], typed["value"], "ends with a comma; type a list without spaces") from None
        if sweep and "," in typed["value"]:
            raise _ambiguous_comma(typed["key"], typed["value"]) from None
        return f"{typed['key']}={quote(typed['value'])}"
    value: object = override.value()
    return _expand_glob(override, value) if isinstance(value, Glob) else word


def _with_key(word: str) -> str:
    """Suggest what to type in place of a word without a key: a folder, an option, or a part of a value."""
    if Path(word).expanduser().is_dir():
        return f"for a folder of images, type dataset=folder dataset.root={shell_quote(Path(word))}"
    if groups := groups_with(word):
        return f"type {listed(f'{group}={word}' for group in groups)}"
    return 'a value with a space needs quotes around the word, as "dataset.root=my photos"'  # the shell has divided it


def _ambiguous_comma(key: str, value: str) -> SettingError:
    """Build the error about text with a comma in a sweep.

    The message says what to type for several values, and what to type for one.
    """
    parts = ",".join(quote(part.strip()) for part in value.split(","))
    several, one = (_in_shell(f"{key}={quoted}") for quoted in (parts, quote(value)))
    return SettingError(
        key, value, f"a comma separates the values of a sweep (-m); type {several}, or as one value {one}"
    )


def _in_shell(word: str) -> str:
    """Quote a word for the shell; double quotes are used if possible, because they are easier to read."""
    text = shlex.quote(word) if re.search(r'["$`\\!]', word) else f'"{word}"'
    return printable(text, max_length=10 * len(text))


def _expand_glob(override: Override, pattern: Glob) -> str:
    names = option_files(override.key_or_group)
    matches = pattern.filter(names)
    if not matches:
        allowed = f"must match one of {', '.join(names)}" if names else "glob lists the options of a group; type values"
        raise SettingError(override.get_key_element(), str(override.input_line).partition("=")[2], allowed)
    return f"{override.get_key_element()}={','.join(matches)}"


def parse_settings(words: Iterable[str], allowed: Sequence[str] = ()) -> dict[str, Any]:
    """Parse KEY=VALUE words without Hydra, for commands other than `train`.

    Args:
        allowed: allowed keys; every `tracking.KEY` is allowed too.

    Raises:
        SettingError: a word is not of the form KEY=VALUE, or its key is not allowed.
    """
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise SettingError("override", word, "must have the form KEY=VALUE; options begin with --, as in --help")
        if key not in allowed and not key.startswith("tracking."):
            raise SettingError(key, text, f"may not be set here, only {listed([*allowed, 'tracking.*'], 'and')}")
        settings[key] = parse_value(text)
    return settings
