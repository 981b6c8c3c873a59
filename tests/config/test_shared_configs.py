"""A YAML outside the folders of the groups is included by several options and is no option."""

import os
import sys

import pytest

from tests import preloaded
from tests.conftest import CONF, Program, options

SHARED = "torchvision_arrays"


def test_data_sets_share_a_yaml_that_is_no_option() -> None:
    assert sorted(path.stem for path in CONF.glob("*.yaml")) == [SHARED, "train"]
    including = [
        name for name in options("dataset") if f"- /{SHARED}@_here_" in (CONF / f"dataset/{name}.yaml").read_text()
    ]
    assert including == ["cifar10", "cifar100", "fashion_mnist", "mnist", "stl10", "svhn"]
    assert SHARED not in options("dataset")


def test_help_and_shell_completion_list_no_shared_yaml() -> None:
    command = [sys.executable, "-m", "semisup", "train"]
    text = preloaded.run([*command, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout
    listed = next(line for line in text.splitlines() if line.startswith("dataset: "))
    assert listed == f"dataset: {', '.join(options('dataset'))}"
    assert SHARED not in text
    query = [*command, "--shell-completion", "query=bash"]
    line = {"COMP_LINE": "semisup train dataset=", "COMP_POINT": "22"}
    done = preloaded.run(query, capture_output=True, text=True, timeout=60, check=True, env=os.environ | line)
    assert done.stdout.split() == [f"dataset={name}" for name in options("dataset")]


@pytest.mark.parametrize("name", ["cifar1", SHARED, f"/{SHARED}"])
def test_a_refused_option_names_the_options_without_shared_yamls(program: Program, name: str) -> None:
    code, text = program("train", f"dataset={name}", "dataset.root=x")
    assert code == 2
    assert f"dataset={name}: must be one of {', '.join(options('dataset'))}" in text
