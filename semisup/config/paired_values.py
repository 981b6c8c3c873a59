"""Parse paired values of a sweep: settings whose values change together, not in all combinations.

    threshold.tau=zip(0.7,0.9) augment.strength=zip(0.2,0.4)    two jobs: 0.7 with 0.2, and 0.9 with 0.4
    sweep.rows=FILE.csv                                         one job for each line; the header has the keys

Both forms are rewritten in Hydra's grammar, as `threshold.tau=tag(zip,choice(0.7,0.9))`. This module imports no torch.
"""

import csv
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from hydra.core.override_parser.types import Override, Sweep

from semisup.errors import DataError, SettingError
from semisup.text import counted, escape, listed

TAG = "zip"
WORD = re.compile(r"(?P<key>[\w./@-]+)=zip\((?P<values>.*)\)", re.ASCII | re.DOTALL)
ROWS = "sweep.rows"
EMPTY_CELL = "__empty_cell__"
"""Value that stands for an empty cell of the CSV file. The job of this line does not set the key of this column."""


class Axis(NamedTuple):
    """One dimension of a sweep's grid.

    rows: for each point along this dimension, the overrides (KEY=VALUE) of a job at this point
    """

    rows: list[tuple[str, ...]]


def is_empty_cell(word: str) -> bool:
    """Whether an override stands for an empty cell of the CSV file; a job ignores such an override."""
    return word.partition("=")[2] == EMPTY_CELL


def tagged(word: str) -> str:
    """Rewrite `key=zip(a,b)` in Hydra's grammar; return any other word unchanged."""
    match = WORD.fullmatch(word)
    return word if match is None else f"{match['key']}=tag({TAG},choice({match['values']}))"


def is_paired(override: Override) -> bool:
    """Whether an override was typed as `key=zip(a,b)`. Job i uses the i-th value of every such override."""
    value = override.value()
    return isinstance(value, Sweep) and TAG in value.tags


def read_rows(path: Path, convert: Callable[[str], str]) -> list[str]:
    """Read a CSV file with one line for each job; return one paired override for each column.

    Args:
        path: the file. Its header has the keys, and its cells have values as a user types them. If a cell is empty, the
            job of its line does not set the key of its column.
        convert: function that converts a typed word KEY=VALUE to an override with a single value.

    Raises:
        DataError: the file cannot be read, has no lines below the header, or has a line of another length than the
        header.
        SettingError: the header has an empty or a repeated key, or a cell is not a value.
    """
    try:
        with path.expanduser().open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            numbered = [(reader.line_num, line) for line in reader if any(cell.strip() for cell in line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{ROWS}={escape(path)}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    keys = [key.strip() for key in numbered[0][1]] if numbered else []
    lines = [line for _, line in numbered[1:]]
    if not lines:
        raise DataError(
            f"{ROWS}={escape(path)}: needs a header with keys, such as threshold.tau, and a line for each run"
        )
    _require_header(path, keys)
    for number, line in numbered[1:]:
        if len(line) != len(keys):
            raise DataError(f"{ROWS}={escape(path)}: line {number} has {counted(len(line), 'cell')}, not {len(keys)}")
    words = []
    for key, column in zip(keys, zip(*lines, strict=True), strict=True):
        cells = [cell.strip() for cell in column]
        values = [convert(f"{key}={cell}").partition("=")[2] if cell else EMPTY_CELL for cell in cells]
        words.append(f"{key}=tag({TAG},choice({','.join(values)}))")
    return words


def _require_header(path: Path, keys: list[str]) -> None:
    """Raise SettingError if the header of a CSV file has an empty or a repeated key."""
    for column, key in enumerate(keys, 1):
        if not key:
            raise SettingError(ROWS, path, f"column {column} of the header has no key; name a setting or delete it")
        if _bare(key) in map(_bare, keys[: column - 1]):
            raise SettingError(ROWS, path, f"the header has the key {escape(key)} twice; keep one of its columns")


def require_single_sources(words: Iterable[str]) -> None:
    """Raise SettingError if a key with paired values is given more than once.

    Args:
        words: the overrides of a command line, after `tagged` and `read_rows` have converted them.
    """
    paired: dict[str, bool] = {}
    for word in words:
        typed, _, value = word.partition("=")
        key, is_pair = _bare(typed), value.startswith(f"tag({TAG},")
        if key in paired and (is_pair or paired[key]):
            raise SettingError(
                key, "zip(...)", f"is given twice, by zip(...), {ROWS} or another value; keep one of them"
            )
        paired[key] = is_pair


def _bare(key: str) -> str:
    """Return a key without Hydra's prefix `+` for added keys."""
    return key.lstrip("+")


def axes(overrides: Iterable[Override]) -> list[Axis]:
    """Build the dimensions of a sweep's grid from its overrides, in the order of the overrides.

    All paired overrides together are one dimension. Each other override is one dimension.

    Raises:
        SettingError: paired overrides have different numbers of values.
    """
    by_key: dict[str, tuple[bool, list[str]]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            words = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            words = [str(override.input_line)]
        by_key[key] = is_paired(override), words
    require_equal_lengths({key: len(words) for key, (paired, words) in by_key.items() if paired})
    paired_columns = [words for paired, words in by_key.values() if paired]
    result: list[Axis] = []
    for paired, words in by_key.values():
        if not paired:
            result.append(Axis([(word,) for word in words]))
        elif words is paired_columns[0]:
            rows = zip(*paired_columns, strict=True)
            result.append(Axis([tuple(word for word in row if not is_empty_cell(word)) for row in rows]))
    return result


def require_equal_lengths(counts: dict[str, int]) -> None:
    """Raise SettingError if the paired keys have different numbers of values."""
    if len(set(counts.values())) > 1:
        key, number = next(iter(counts.items()))
        sizes = listed((f"{key} has {number}" for key, number in counts.items()), "and")
        raise SettingError(
            key,
            f"zip(...) of {counted(number, 'value')}",
            f"all zip(...) of a command must have the same number of values: {sizes}",
        )
