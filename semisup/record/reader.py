"""Read the files of a run directory, which may come from an untrusted source, as plain data.

Nothing in the files is executed. Files that are too large or would take too much memory are rejected.
"""

import json
import os
import re
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import yaml

from semisup.errors import RecordError
from semisup.record.migrations import migrate
from semisup.runtime.descriptors import NO_WAIT, READ
from semisup.text import escape

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # same results; the C loader is ten times as fast
NUMBER = re.compile(r"[-+]?[0-9a-fA-FxXoO_.:+-]*")
MAX_DEPTH = 8  # a config has 4 levels
MAX_CONFIG_BYTES = 2**18  # configs of semisup have 2 kB
MAX_CONFIG_EVENTS = 20_000  # keys, values and brackets; configs of semisup have 200
MAX_DIGITS = 400
MAX_JSON_BYTES = 2**25  # the summary of 1,000 classes has 20 MB
MAX_JSON_MEMORY = 150_000_000
MAX_LINE_BYTES = 2**20  # of a log; lines of semisup have 500


def open_regular_file(path: Path) -> IO[bytes]:
    """Open a regular file for reading; pipes and devices are rejected, because reading them may never end.

    Raises:
        OSError: the file does not exist or is not a regular file.
    """
    descriptor = os.open(path, READ | NO_WAIT)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(None, "is not a regular file", str(path))
    return open(descriptor, "rb")


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a file of at most `max_bytes` bytes.

    Raises:
        OSError: the file does not exist, is not a regular file, or cannot be read.
        ValueError: the file has more than `max_bytes` bytes.
    """
    with open_regular_file(path) as file:
        if os.fstat(file.fileno()).st_size > max_bytes:
            raise ValueError(f"the file has more than {max_bytes} bytes")
        return file.read()


def parse_json(raw: bytes) -> Any:
    """Parse the JSON text of a file of a run.

    Raises:
        ValueError: the text is not JSON, or would take more memory than MAX_JSON_MEMORY.
    """
    memory = len(raw) + 40 * raw.count(b",") + 70 * (raw.count(b"[") + raw.count(b"{")) + 30 * raw.count(b'"')
    if memory > MAX_JSON_MEMORY:
        raise ValueError(
            f"the text would need more than {MAX_JSON_MEMORY // 10**6} MB of memory, the limit for JSON of a run"
        )
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("the text is nested too deeply to be parsed") from None


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; return None if the file is missing, damaged, too large, or not a JSON object.

    A file that is too large also causes a warning.
    """
    try:
        if path.is_file() and path.stat().st_size > MAX_JSON_BYTES:
            warnings.warn(f"{path} has more than {MAX_JSON_BYTES >> 20} MB and is not read", stacklevel=2)
        value = parse_json(read_bytes(path, MAX_JSON_BYTES))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_section(about: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the JSON object at the key `name` of `about`; {} if it is missing or not an object."""
    value = about.get(name)
    return value if isinstance(value, dict) else {}


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of a run's metrics.jsonl as dictionaries.

    An incomplete last line, which a killed process may have left, is skipped.

    Raises:
        RecordError: the file cannot be read, or a line is too long or not a JSON object with an integer `step`.
    """
    try:
        with open_regular_file(path) as file:
            while line := file.readline(MAX_LINE_BYTES):
                if line.endswith(b"\n"):
                    row = parse_json(line)
                    if not isinstance(row, dict) or type(row.get("step")) is not int:
                        raise RecordError(f"{path}: a line has no integer step")
                    yield row
                elif len(line) == MAX_LINE_BYTES:
                    raise RecordError(f"{path}: has a line of more than {MAX_LINE_BYTES} bytes")
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{path}: must have one JSON object per line ({escape(error)})") from None


def check_steps(path: Path) -> dict[str, Any]:
    """Check that the steps of metrics.jsonl never decrease and that no step has the same metric twice.

    Returns:
        the row of the last labeling of the unlabeled set; {} if there is none.

    Raises:
        RecordError: the file cannot be read or its steps are wrong, as after two processes wrote to the run.
    """
    last, names = -1, set[str]()
    labeling: dict[str, Any] = {}
    for number, row in enumerate(read_metrics(path), start=1):
        step, metrics = row["step"], row.keys() - {"step", "epoch"}
        if step < last:
            problem = f"step {step} follows step {last}"
        elif step == last and names & metrics:
            problem = f"step {step} occurs twice"
        else:
            names = names | metrics if step == last else set(metrics)
            last = step
            labeling = row if "pseudo/round" in row else labeling
            continue
        raise RecordError(
            f"{path.name}: {problem} (line {number}): two processes wrote to this run, or the file was edited; "
            "delete its directory and run the same command again"
        )
    return labeling


def read_config(path: Path) -> dict[str, Any]:
    """Read a saved config as plain data and convert it to the present version (`migrate`).

    Nothing in the config is executed or resolved.

    Raises:
        RecordError: the file is missing, or is not a single mapping in the plain YAML that semisup writes.
    """
    try:
        raw = read_bytes(path, MAX_CONFIG_BYTES)
        _reject_yaml_features(raw)
        value = yaml.load(raw, Loader=LOADER)
    except OSError as error:
        raise RecordError(f"{path.name}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        raise RecordError(f"{path.name}: {escape(' '.join(str(error).split()))}") from None
    if not isinstance(value, dict):
        raise RecordError(f"{path.name}: the file has no settings")
    return migrate(value)


def _reject_yaml_features(raw: bytes) -> None:
    """Check that a saved config has no YAML features that semisup never writes, such as aliases and tags.

    Raises:
        ValueError: the text has such a feature; the message names it.
    """
    open_: list[
        tuple[set[str], bool] | None
    ] = []  # of each open mapping its keys and whether one is next; None: a list
    for number, event in enumerate(yaml.parse(raw, Loader=LOADER)):
        if number > MAX_CONFIG_EVENTS:
            raise ValueError(
                f"the file has more than {MAX_CONFIG_EVENTS} keys, values and brackets, the limit for a saved config"
            )
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("the file has a YAML alias, which a saved config never has")
        if isinstance(event, yaml.CollectionEndEvent):
            open_.pop()
        elif isinstance(event, yaml.NodeEvent):
            tag = getattr(event, "tag", None)
            if event.anchor is not None or tag is not None:
                what = "a YAML anchor" if event.anchor is not None else f"the YAML tag {tag}"
                raise ValueError(f"the file has {what}, which a saved config never has")
            if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_DIGITS and NUMBER.fullmatch(event.value):
                raise ValueError(
                    f"the file has a number of {len(event.value)} digits; at most {MAX_DIGITS} are allowed"
                )
            _count_key(open_, event)
            if isinstance(event, yaml.CollectionStartEvent):
                open_.append((set(), True) if isinstance(event, yaml.MappingStartEvent) else None)
                if len(open_) > MAX_DEPTH:
                    raise ValueError(f"the file has more than {MAX_DEPTH} nested levels")


def _count_key(open_: list[tuple[set[str], bool] | None], event: Any) -> None:
    """Check the next key of a YAML mapping, and add it to the keys of the mapping.

    Args:
        open_: the mappings and lists in which the event is nested, outermost first: for a mapping, its keys so far and
            whether a key comes next; for a list, None.
        event: the YAML event of the next key or value.

    Raises:
        ValueError: the key is repeated, or is not plain text.
    """
    if not open_ or open_[-1] is None:
        return
    keys, is_key = open_[-1]
    open_[-1] = keys, not is_key
    if is_key:
        if not isinstance(event, yaml.ScalarEvent) or event.value == "<<":
            raise ValueError("the file has a key that is not plain text")
        if event.value in keys:
            raise ValueError(f"the file has the key {event.value} twice")
        keys.add(event.value)


def parse_value(text: str) -> Any:
    """Parse one YAML value, such as `0.5`, `null` or `photos`.

    Raises:
        RecordError: the text is not valid YAML, or looks like a date or number but is none.
    """
    try:
        return yaml.load(text, Loader=LOADER)
    except (yaml.YAMLError, ValueError) as error:
        raise RecordError(f"{text}: {' '.join(str(error).split())}") from None
