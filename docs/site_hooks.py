"""Hooks of MkDocs: pages that are made of other files, and links between files of the repository.

README.md, CONTRIBUTING.md and CHANGELOG.md become pages, and `settings.md` is written from `conf/` and the settings
dataclasses. A key without a sentence ends the build. Nothing is written to the working tree.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from semisup.config import registry
from semisup.config.compose import option_files
from semisup.config.reference import (
    OTHER_GROUPS,
    RUN,
    SECTION_CLASSES,
    Option,
    describe,
    describe_option,
    describe_section,
)

ROOT = Path(__file__).resolve().parents[1]
COPIED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.txt",
    "examples/wandb_sweep.yaml": "examples/wandb_sweep.yaml",
}
"""File of the repository outside docs/ -> file of the site."""

LINK = re.compile(r"(\]\()([^)#:\s]+)([)#])")
INTRODUCTION = """\
# Settings

Every key of every option: its default, its type and range, and its meaning. Set a key by `KEY=VALUE` after
`semisup train`, choose an option by `GROUP=NAME`. `???` = must be given; `${...}` = the value of another key. The same
sentences in the terminal: `semisup train --help threshold=flexmatch`. This page is generated from `conf/` and the
settings dataclasses.
"""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    for source, target in COPIED.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text(encoding="utf-8")))
    files.append(File.generated(config, "settings.md", content=settings_page()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at the pages of the site; they are written for readers of the repository."""
    sources = {target: source for source, target in COPIED.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def replace(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        target = COPIED.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if target is None:
            return match[0]
        return f"{match[1]}{os.path.relpath(target, posixpath.dirname(page.file.src_uri) or '.')}{match[3]}"

    return LINK.sub(replace, markdown)


def settings_page() -> str:
    """Write the settings reference.

    Raises:
        PluginError: a key has no sentence.
    """
    parts = [INTRODUCTION, "## Run", _table(describe_section(RUN))]
    for section in SECTION_CLASSES:
        described = describe_section(section)
        parts += [f"## {section}", _paragraph(described.summary), _table(described)]
    for group in registry.GROUPS:
        parts.append(f"## {group}")
        for name in option_files(group):
            option = describe_option(group, name)
            parts += [f"### {option.title}", _paragraph(option.summary), _table(option)]
    for group in OTHER_GROUPS:
        parts.append(f"## {group}")
        for name in option_files(group):
            _, _, text = describe(f"{group}={name}").partition("\n")
            parts += [f"### {group}={name}", f"```{'yaml' if group == 'experiment' else ''}\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def _paragraph(lines: tuple[str, ...]) -> str:
    """A comment at the head of a YAML; lines of the form `word:  text` start a new line."""
    return "\n".join(f"<br>{line}" if re.match(r"\w+: ", line) else line for line in lines)


def _table(option: Option) -> str:
    if not option.settings:
        return "No keys."
    rows = ["| key | default | type and range | meaning |", "|---|---|---|---|"]
    for each in option.settings:
        if not each.meaning or not each.type:
            raise PluginError(
                f"{each.key} of {option.title} has no sentence or no type; add a comment behind it in conf/"
            )
        kind = f"{each.type}{', ' if each.range else ''}{each.range}"
        rows.append(f"| `{each.key}` | `{each.default}` | {_cell(kind)} | {_cell(each.meaning)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
