"""Describe every setting: key, type, default, range and meaning. This module imports no torch.

The meaning of a setting is the comment after its key in `conf/`. The type and range come from the settings dataclass
(`declared_settings.py`). `semisup train --help GROUP=NAME` and the settings reference of the documentation show these
descriptions.
"""

import itertools
import re
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from semisup.config import added_options, custom_configs, registry
from semisup.config.compose import OTHER_GROUPS, config_folder, groups_with, option_files
from semisup.config.declared_settings import Declared, declared_settings, section_classes, type_words
from semisup.config.suggestions import GROUP_OF_NODE, unknown_option
from semisup.errors import SettingError, closest_match
from semisup.text import listed

LINE = re.compile(r"(?P<indent> *)(?P<key>\w+):(?: +(?P<value>[^ #].*?|\"#.*?))??(?: +# (?P<comment>.*))?$")
PACKAGE = Path(__file__).resolve().parents[1]
SECTION_CLASSES = section_classes(PACKAGE / "config" / "nodes.py")
"""Section of train.yaml -> (file, name) of its dataclass, read from the source because nodes.py imports torch."""

RUN = "run"
"""Name with which `--help` describes the keys at the top level of train.yaml."""

HYDRA_GROUPS = tuple(group for group in OTHER_GROUPS if group.startswith("hydra/"))

HYDRA_KEYS = ("params", "defaults")
"""Keys of a launcher or sweeper that users do not set; those that begin with an underscore are not set either."""


class Setting(NamedTuple):
    """Description of one setting (key of the config).

    default: as written in YAML; `???` = the user must give a value
    range: in words, such as `in [0, 1]`; empty if every value of the type is allowed
    meaning: empty = not documented
    """

    key: str
    type: str
    default: str
    range: str
    meaning: str


class Option(NamedTuple):
    """Description of a section of the config, or of one option of a config group.

    title: such as `threshold=fixed` or `train`
    summary: the lines of the comment at the top of the option's YAML file
    """

    title: str
    summary: tuple[str, ...]
    settings: tuple[Setting, ...]


class _Line(NamedTuple):
    section: str
    key: str
    value: str
    comment: str


def describe_option(group: str, name: str, node: str | None = None) -> Option:
    """Describe an option of a config group, such as `threshold=fixed`, with all its settings.

    Args:
        group: such as `threshold`.
        name: such as `fixed`.
        node: key of the config that holds the option; None = the name of the group. For example, the key `weak` holds
            an option of the group `augment`.

    Raises:
        SettingError: there is no such group or option; the message suggests the most similar name.
    """
    if group not in registry.GROUPS:
        groups = (*registry.GROUPS, *OTHER_GROUPS)
        raise SettingError("--help", group, f"must be one of {', '.join(groups)}", closest_match(group, groups))
    names = option_files(group)
    if name not in names:
        raise unknown_option(group, name, names, groups_with(name))
    yaml = _option_file(group, name)
    values = {line.key: line.value for line in _lines(yaml)}
    own = PACKAGE / group / f"{values.get('name', name)}.py"  # conf/dataset/food11.yaml has name: folder
    declared = declared_settings(yaml.with_suffix(".py") if name in registry.added_options(group) else own)
    lines = [line for line in _lines(yaml) if line.key not in ("name", "defaults")]
    settings = [_setting(f"{node or group}.", line, declared) for line in lines]
    return Option(f"{group}={name}", _head(yaml), tuple(settings))


def describe_section(section: str) -> Option:
    """Describe a section of the config, such as `train`. `run` stands for the keys at the top level."""
    file, name = SECTION_CLASSES.get(section, (PACKAGE / "config" / "sections.py", "RunSettings"))
    declared = declared_settings(file, name)
    inside, prefix = ("", "") if section == RUN else (section, f"{section}.")
    yaml = config_folder() / "train.yaml"
    lines = [line for line in _lines(yaml) if line.section == inside]
    settings = tuple(_setting(prefix, line, declared) for line in lines if line.key in declared)
    comment = re.search(rf"^{section}: +# (.*)$", yaml.read_text(encoding="utf-8"), re.MULTILINE)
    return Option(section, (comment[1],) if comment else (), settings)


def is_whole_number(key: str, config: Mapping[Any, Any]) -> bool:
    """Whether a setting is declared as an integer, with or without null.

    Its default does not tell: that of `method.ramp`, a number in [0, 1], is 0.

    Args:
        key: such as `train.batch_size` or `seed`.
        config: composed config, which names the option of each group.
    """
    section, dot, _ = key.partition(".")
    try:
        if not dot or section in SECTION_CLASSES:
            option = describe_section(section if dot else RUN)
        else:
            option = describe_option(GROUP_OF_NODE[section], config[section]["name"], section)
    except (KeyError, TypeError, SettingError):
        return False  # unknown keys are refused elsewhere
    return any(each.key == key and each.type.startswith(type_words("int")) for each in option.settings)


def describe(word: str) -> str:
    """Return the text of `semisup train --help WORD`.

    Args:
        word: an option such as `threshold=fixed` or `fixed`, a group such as `threshold` or `sweeper`, a section such
            as `train`, or a key such as `threshold.tau` or `tau`.

    Raises:
        SettingError: there is nothing of this name, or several groups have the option; the message suggests names.
    """
    key, equals, name = word.partition("=")
    group, _, node = key.partition("@")
    if group in OTHER_GROUPS:
        return _other_option(group, name) if equals else _list_options(group)
    if equals:
        return format_option(describe_option(group, name, node or None))
    if word in registry.GROUPS:
        return _list_options(word)
    if word in SECTION_CLASSES or word == RUN:
        return format_option(describe_section(word))
    groups, sections = (*registry.GROUPS, *OTHER_GROUPS), (RUN, *SECTION_CLASSES)
    for whole in groups:
        if whole.rpartition("/")[2] == word:  # sweeper in place of hydra/sweeper
            return describe(whole)
    if len(having := groups_with(word)) == 1:
        return describe(f"{having[0]}={word}")
    if having:
        typed = listed(f"semisup train --help {each}={word}" for each in having)
        raise SettingError("--help", word, f"{listed(having, 'and')} have an option of this name; type {typed}")
    if options := _with_key(word):
        return "\n\n".join(map(format_option, options))
    names = [*groups, *sections, *(name for each in groups for name in option_files(each))]
    raise SettingError(
        "--help",
        word,
        f"must be GROUP=NAME, a group ({', '.join(groups)}), a section ({', '.join(sections)}) or a key such as "
        "threshold.tau",
        closest_match(word, names),
    )


def _with_key(key: str) -> list[Option]:
    """List the sections and options that have a key, each with this key only.

    Args:
        key: with its section or group (`threshold.tau`), or without (`tau`).
    """
    options = [describe_section(section) for section in (RUN, *SECTION_CLASSES)]
    options += [describe_option(group, name) for group in registry.GROUPS for name in option_files(group)]
    options += [_hydra_option(group, name) for group in HYDRA_GROUPS for name in option_files(group)]
    matches = []
    for option in options:
        settings = tuple(each for each in option.settings if key in (each.key, each.key.rpartition(".")[2]))
        if settings:
            matches.append(Option(option.title, (), settings))
    return matches


def format_option(option: Option, width: int = 100) -> str:
    """Format an option for a terminal: its summary, then default, type, range and meaning of each key."""
    lines = [option.title, *(f"  {line}" for line in option.summary), ""]
    for each in option.settings:
        kind = f"{each.type}{', ' if each.range else ''}{each.range}"
        lines.append(f"{each.key}={each.default}" + (f"    ({kind})" if kind else ""))
        lines += textwrap.wrap(each.meaning, width, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines if option.settings else [*lines[:-1], "  It has no keys."])


def _setting(prefix: str, line: _Line, declared: dict[str, Declared]) -> Setting:
    field = declared.get(line.key, Declared("", ""))
    return Setting(prefix + line.key, field.type, line.value, field.range, line.comment)


def _option_file(group: str, name: str) -> Path:
    """Find the YAML file of an option, which may be from another package, from `conf/`, or the user's own."""
    module = registry.added_options(group).get(name) if group in registry.GROUPS else None
    path = added_options.option_file(module) if module is not None else None
    own = config_folder() / group / f"{name}.yaml"
    return path or (own if own.is_file() else custom_configs.custom_option(group, name) or own)


@cache
def _lines(yaml: Path) -> tuple[_Line, ...]:
    """Read the keys of a config file and of the files that it includes, with their values and comments.

    A key without a comment gets the comment of the same key in an included file.
    """
    own = list(_own_lines(yaml))
    included = [line for path in _included(yaml) for line in _lines(path)]
    by_key = {(line.section, line.key): line for line in included}
    for line in own:
        inherited = by_key.get((line.section, line.key))
        by_key[line.section, line.key] = line._replace(comment=line.comment or (inherited.comment if inherited else ""))
    return tuple(by_key.values())


def _own_lines(yaml: Path) -> Iterator[_Line]:
    section = ""
    for text in yaml.read_text(encoding="utf-8").splitlines():
        match = LINE.fullmatch(text)
        if match is None:
            continue
        value, comment = match["value"] or "", match["comment"] or ""
        if not match["indent"]:
            section = "" if value else match["key"]
            if value:
                yield _Line("", match["key"], value, comment)
        elif len(match["indent"]) == 2:
            yield _Line(section, match["key"], value, comment)


def _included(yaml: Path) -> list[Path]:
    """List the config files that a config file includes in its `defaults:`: `- name` and `- /name@_here_`."""
    text = yaml.read_text(encoding="utf-8").partition("\ndefaults:\n")[2]
    items = re.split(r"^\S", text, maxsplit=1, flags=re.MULTILINE)[0]
    names = re.findall(r"^  - (\w+|/\w+(?=@_here_))(?:@_here_)?$", items, re.MULTILINE)
    folders = {name: config_folder() if name.startswith("/") else yaml.parent for name in names if name != "_self_"}
    return [folder / f"{name.lstrip('/')}.yaml" for name, folder in folders.items()]


def _head(yaml: Path) -> tuple[str, ...]:
    lines = []
    for text in yaml.read_text(encoding="utf-8").splitlines():
        if not text.startswith("#"):
            break
        if not text.startswith("# @package"):
            lines.append(text.removeprefix("#").removeprefix(" "))
    return tuple(lines)


def _first_sentence(head: tuple[str, ...]) -> str:
    """Return the first sentence of the comment at the top of a YAML file.

    Args:
        head: lines of the comment. A line such as `command: ...` and all lines below it are ignored.
    """
    lines = [*head[:1], *itertools.takewhile(lambda line: not re.match(r"[a-z]+: ", line), head[1:])]
    sentence = re.match(r".*?[\w)]\.(?= [A-Z])", text := " ".join(lines))
    return sentence[0] if sentence else text


def _list_options(group: str) -> str:
    """Format the options of a group, each with the first sentence of its summary."""
    names = option_files(group)
    indent = " " * (max(map(len, names)) + 4)
    lines = []
    for name in names:
        first = f"  {name}".ljust(len(indent))
        lines += textwrap.wrap(
            _first_sentence(_head(_option_file(group, name))), 120, initial_indent=first, subsequent_indent=indent
        ) or [first.rstrip()]
    return "\n".join([f"{group}=", *lines, "", f"semisup train --help {group}=NAME prints the keys of an option."])


def _other_option(group: str, name: str) -> str:
    names = option_files(group)
    if name not in names:
        raise unknown_option(group, name, names, groups_with(name))
    yaml = _option_file(group, name)
    if group in HYDRA_GROUPS:
        return format_option(_hydra_option(group, name))
    return f"{group}={name}\n" + re.sub(r"^# @package.*\n", "", yaml.read_text(encoding="utf-8")).rstrip()


def _hydra_option(group: str, name: str) -> Option:
    yaml = _option_file(group, name)
    return Option(f"{group}={name}", _head(yaml), tuple(_hydra_settings(group, yaml)))


def _hydra_settings(group: str, yaml: Path) -> Iterator[Setting]:
    """Read the keys of a launcher or sweeper, such as `hydra.launcher.ray.init.address`, from its YAML file."""
    parents: list[tuple[int, str]] = []
    for text in yaml.read_text(encoding="utf-8").splitlines():
        if (match := LINE.fullmatch(text)) is None:
            continue
        indent = len(match["indent"])
        parents = [each for each in parents if each[0] < indent] + [(indent, match["key"])]
        path = [name for _, name in parents]
        if match["value"] and path[0] not in HYDRA_KEYS and not path[0].startswith("_"):
            yield Setting(".".join([group.replace("/", "."), *path]), "", match["value"], "", match["comment"] or "")
