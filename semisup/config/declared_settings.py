"""Read the types and ranges of settings from the source code of their dataclasses, without importing them.

`semisup train --help` uses this module, because importing a dataclass would import torch. The type of a setting is the
annotation of its field. Its range is taken from the first check of the field: a call of `check_range` or
`check_choice`, or `raise SettingError`. This check is in the dataclass, in its bases, or in the code that they use.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from semisup.text import listed

TYPE_NAMES = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "str": "text",
    "list[int]": "a list of whole numbers",
    "list[float]": "a list of numbers",
    "list[str]": "a list of texts",
    "Folders": "text, a list of texts or null",
    "ClassNames": "a list of texts or null",
    "None": "null",
}
"""Annotation of a field -> description of the type for users."""

INTERNAL = "semisup."
"""Prefix of the modules whose imports are followed: the modules of semisup."""


class Declared(NamedTuple):
    """Type and range of one setting, as its settings dataclass declares them.

    type: in words, such as `a number or null`
    range: in words, such as `in [0, 1]`; empty if every value of the type is allowed
    """

    type: str
    range: str


class _Definition(NamedTuple):
    """A top-level class or function, and the file that defines it."""

    node: ast.ClassDef | ast.FunctionDef
    file: Path


def type_words(annotation: str) -> str:
    """Describe the annotation of a field in words: `int | None` becomes `a whole number or null`."""
    return listed(TYPE_NAMES.get(part.strip(), part.strip()) for part in annotation.split("|"))


def declared_settings(file: Path, name: str | None = None) -> dict[str, Declared]:
    """Read the type and range of each setting from the source code of a settings dataclass.

    Args:
        file: the Python file that defines the dataclass.
        name: name of the dataclass; None = the only public dataclass of the file.

    Returns:
        Name of the setting -> type and range. Inherited settings come first.
    """
    classes = [node for node in _parse(file).body if isinstance(node, ast.ClassDef)]
    (own,) = [each for each in classes if (each.name == name if name else _is_public_dataclass(each))]
    start = _Definition(own, file)
    annotations = _annotations(start)
    ranges = _ranges(start, annotations)
    each = {key: "each " if words.startswith("list") else "" for key, words in annotations.items()}
    return {
        key: Declared(type_words(words), each[key] + ranges[key] if key in ranges else "")
        for key, words in annotations.items()
    }


def section_classes(file: Path) -> dict[str, tuple[Path, str]]:
    """Return the settings dataclass of each config section.

    Args:
        file: the Python file with the constant SECTIONS, which maps sections to dataclasses.

    Returns:
        Name of the section -> (file of the dataclass, its name).
    """
    value = next(value for target, value in _assignments(_parse(file).body) if ast.unparse(target) == "SECTIONS")
    assert isinstance(value, ast.Dict)
    sections = {}
    for key, name in zip(value.keys, value.values, strict=True):
        assert isinstance(key, ast.Constant)
        section = str(key.value)
        definition = _resolve(ast.unparse(name), file)
        assert definition is not None, f"{file.name}: the class of section {section} cannot be found"
        sections[section] = (definition.file, definition.node.name)
    return sections


def _is_public_dataclass(node: ast.ClassDef) -> bool:
    decorators = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
    return not node.name.startswith("_") and any(isinstance(e, ast.Name) and e.id == "dataclass" for e in decorators)


def _annotations(definition: _Definition) -> dict[str, str]:
    fields: dict[str, str] = {}
    assert isinstance(definition.node, ast.ClassDef)
    for base in definition.node.bases:
        parent = _resolve(base.id, definition.file) if isinstance(base, ast.Name) else None
        if parent is not None and isinstance(parent.node, ast.ClassDef):
            fields |= _annotations(parent)
    for each in definition.node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            words = ast.unparse(each.annotation)
            if not words.startswith("ClassVar"):
                fields[each.target.id] = words
    return fields


def _ranges(start: _Definition, annotations: Mapping[str, str]) -> dict[str, str]:
    """Find the range of each setting: first in its dataclass, then in the code that the dataclass uses.

    Args:
        start: the dataclass.
        annotations: name of each setting -> annotation.

    Returns:
        Name of the setting -> range in words, for the settings that have a check.
    """
    found: dict[str, str] = {}
    queue, seen = [start], {(start.file, start.node.name)}
    while queue and len(found) < len(annotations):
        definition = queue.pop(0)
        for key, words in _checks(definition):
            if key in annotations:
                found.setdefault(key, words)
        names = [node.id for node in ast.walk(definition.node) if isinstance(node, ast.Name)]
        for name in dict.fromkeys(names):
            other = _resolve(name, definition.file)
            if other is not None and (other.file, other.node.name) not in seen:
                seen.add((other.file, other.node.name))
                queue.append(other)
    return found


def _checks(definition: _Definition) -> Iterator[tuple[str, str]]:
    """Yield every setting that a class or function checks, and its allowed range in words."""
    for node in ast.walk(definition.node):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
            continue
        key = node.args[0]
        if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
            continue
        if node.func.id == "check_range" and _is_field(node.args[1]):
            yield key.value, _interval(node, definition.file)
        elif node.func.id == "check_choice":
            yield key.value, "one of " + ", ".join(map(str, _value(node.args[2], definition.file)))
        elif node.func.id == "SettingError" and _is_field(node.args[1]):
            text = _text(node.args[2], definition.node)
            if text.startswith("must "):
                yield key.value, text.removeprefix("must be ").removeprefix("must ")


def _text(node: ast.expr, within: ast.AST) -> str:
    """Return the text of a string literal, or of a local variable that is assigned one; else "".

    Args:
        within: the class or function in which the variable is assigned.
    """
    if isinstance(node, ast.Name):
        values = (
            each for each in ast.walk(within) if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name)
        )
        node = next((each.value for each in values if each.targets[0].id == node.id), node)  # type: ignore[attr-defined]
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _is_field(node: ast.expr) -> bool:
    """Whether a checked expression is a single setting, not a combination of several settings."""
    return isinstance(node, ast.Attribute | ast.Name)


def _interval(call: ast.Call, file: Path) -> str:
    bounds = [_value(each, file) for each in call.args[2:]]
    flags = {each.arg: _value(each.value, file) for each in call.keywords}
    low = f"{bounds[0]:.10g}"
    if len(bounds) == 1:
        return f"above {low}" if flags.get("above") else f"at least {low}"
    if bounds[0] == bounds[1]:
        return f"only {low}"
    return f"in {'(' if flags.get('above') else '['}{low}, {bounds[1]:.10g}{')' if flags.get('below') else ']'}"


def _value(node: ast.expr, file: Path) -> Any:
    """Evaluate the Python expression of a bound of a setting (such as its minimum) or of its list of choices.

    Args:
        file: the Python file with the expression; constants in the expression are looked up in it.
    """
    if isinstance(node, ast.Name):
        return _constant(node.id, file)
    if isinstance(node, ast.Tuple | ast.List):
        values: list[Any] = []
        for each in node.elts:
            values += list(_value(each.value, file)) if isinstance(each, ast.Starred) else [_value(each, file)]
        return tuple(values)
    if isinstance(node, ast.Dict):
        return tuple(_value(key, file) for key in node.keys if key is not None)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, file), _value(node.right, file)
        operations = {ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.Pow: "__pow__"}
        return getattr(left, operations[type(node.op)])(right)
    assert isinstance(node, ast.Constant), f"{file.name}: {ast.unparse(node)} cannot be read without importing"
    return node.value


def _constant(name: str, file: Path) -> Any:
    """Evaluate a constant that a module defines, or imports from another module."""
    for target, value in _assignments(_parse(file).body):
        if isinstance(target, ast.Name) and target.id == name:
            return _value(value, file)
    module = _imports(file).get(name)
    assert module is not None, f"{file.name}: {name} is no constant that can be read without importing"
    return _constant(name, module)


def _assignments(body: list[ast.stmt]) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield target and value of each assignment in a module; `A, B = 1, 2` counts as two assignments."""
    for node in body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            yield node.target, node.value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    yield from zip(target.elts, node.value.elts, strict=True)
                else:
                    yield target, node.value


def _resolve(name: str, file: Path) -> _Definition | None:
    """Find the definition of the class or function with this name in a module.

    Returns:
        None if the name is neither a class nor a function, or belongs to another package.
    """
    for node in _parse(file).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return _Definition(node, file)
    module = _imports(file).get(name)
    return None if module is None else _resolve(name, module)


@cache
def _imports(file: Path) -> dict[str, Path]:
    """Map each name that a module imports from semisup (`from ... import`) to the file that defines it."""
    names: dict[str, Path] = {}
    for node in _parse(file).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(INTERNAL):
            source = _source(node.module)
            names |= {alias.asname or alias.name: source for alias in node.names if source is not None}
    return names


@cache
def _source(module: str) -> Path | None:
    """Find the file of a module of semisup without importing the module or its package."""
    path = Path(__file__).resolve().parents[1].joinpath(*module.split(".")[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((each for each in candidates if each.is_file()), None)


@cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
