"""Options that another installed package adds by entry points, with their YAML beside their module and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from semisup.config.added_options import option_file
from tests.conftest import CONF

SUBCLASSES = {
    "dataset": ("digits", "Digits"),
    "model": ("small_cnn", "SmallCnn"),
    "augment": ("crop_rotate", "CropRotate"),
    "optimizer": ("adamw", "AdamW"),
    "schedule": ("constant", "Constant"),
    "reject": ("max_logit", "MaxLogit"),
    "method": ("self_training", "SelfTraining"),
    "tracking": ("none", "NoTracking"),
}
"""Option and class of ours that the added option of each group derives from; the threshold is one of its own."""

SUBCLASS = """
from dataclasses import dataclass
from semisup.{group}.{option} import {base}

@dataclass(frozen=True)
class Theirs({base}):
    pass
"""
THRESHOLD = """
from dataclasses import dataclass
from typing import ClassVar
from semisup.threshold.fixed import Fixed

@dataclass(frozen=True)
class Theirs:
    cutoff: float
    uses_labeled: ClassVar[bool] = False

    def init(self, num_classes, num_unlabeled):
        return {}

    def select(self, labels, index, context, memory):
        return Fixed(self.cutoff, strict=False).select(labels, index, context, memory)
"""
GROUPS = (*SUBCLASSES, "threshold")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the package is installed. Its `__init__` must not be imported to list the options."""
    site = tmp_path_factory.mktemp("site")
    package = site / "their_package"
    package.mkdir()
    (package / "__init__.py").write_text("import torch\n")
    for group, (option, base) in SUBCLASSES.items():
        (package / f"{group}_theirs.py").write_text(SUBCLASS.format(group=group, option=option, base=base))
        text = (CONF / group / f"{option}.yaml").read_text()
        assert f"name: {option}\n" in text
        (package / f"{group}_theirs.yaml").write_text(text.replace(f"name: {option}\n", "name: theirs\n"))
    (package / "threshold_theirs.py").write_text(THRESHOLD)
    (package / "threshold_theirs.yaml").write_text("name: theirs\ncutoff: 0.4\n")
    (package / "without_yaml.py").write_text(THRESHOLD)
    entries = [f"[semisup.{group}]\ntheirs = their_package.{group}_theirs\n" for group in GROUPS]
    entries[-1] += "bare = their_package.without_yaml\n"
    metadata = site / "their_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text("\n".join(entries))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    root = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(site), root])}


def semisup(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "semisup", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def test_an_added_option_of_every_group_trains_and_reproduces(environment: dict[str, str], tmp_path: Path) -> None:
    choices = [f"{group}=theirs" for group in GROUPS]
    settings = ["threshold.cutoff=0.2", "method.gate=0", "train.epochs=2", "model.widths=[4,8]", "plots=false"]
    done = semisup(environment, "train", *choices, *settings, f"output_root={tmp_path}")
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("theirs-theirs-cutoff0.2-theirs-keep0.95-theirs-0.5-seed0-")
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert {config[group]["name"] for group in GROUPS} == {"theirs"}
    done = semisup(environment, "reproduce", str(run))
    assert done.returncode == 0, done.stdout + done.stderr


def test_help_lists_added_options_without_importing_them(environment: dict[str, str]) -> None:
    code = (
        "import atexit, sys; from semisup.__main__ import main; sys.argv = ['semisup', 'train', '--help']; "
        "atexit.register(lambda: print('imported:', {'torch', 'their_package'} & sys.modules.keys())); main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    groups = [line for line in done.stdout.splitlines() if line.split(":")[0].strip() in GROUPS and "theirs" in line]
    assert len(groups) == len(GROUPS), done.stdout + done.stderr
    assert done.stdout.endswith("imported: set()\n")


ERRORS = {
    "threshold=thiers": "did you mean theirs?",
    "threshold=bare": "threshold=bare: this option has no YAML file",
    "threshold.cutof=0.2": "threshold.cutof=0.2: no such key",
}
EACH_WORD = """
import sys
from semisup.__main__ import main
for word in sys.argv[1:]:
    sys.argv = ["semisup", "train", word]
    print(main())
"""


def test_errors_name_added_options(environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", EACH_WORD, *ERRORS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.stdout.split() == ["2"] * len(ERRORS)
    lines = done.stderr.splitlines()
    assert len(lines) == len(ERRORS)
    for line, message in zip(lines, ERRORS.values(), strict=True):
        assert message in line


def test_option_file_of_a_missing_module_is_none() -> None:
    assert option_file("no_such_package.policy") is None
    assert option_file("json.no_such_module") is None
    assert option_file("json.decoder") == Path(json.decoder.__file__).with_suffix(".yaml")


def test_entry_points_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from semisup.config import registry

    calls: list[object] = []
    read = registry.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda **group: calls.append(group) or read(**group))
    registry.installed_entry_points.cache_clear()
    for group in registry.GROUPS:
        registry.option_names(group)
    assert len(calls) == 1
