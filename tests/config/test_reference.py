"""Every setting has a documented type and meaning, and `semisup train --help GROUP=NAME` prints them without torch."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from semisup.cli.train import train_command
from semisup.config import reference, registry
from semisup.config.compose import check_names, option_files
from semisup.config.declared_settings import declared_settings, type_words
from semisup.config.nodes import SECTIONS
from semisup.errors import SettingError
from tests.conftest import compose

OPTIONS = [(group, name) for group in registry.GROUPS for name in option_files(group)]


@pytest.mark.parametrize(("group", "name"), OPTIONS, ids=[f"{group}={name}" for group, name in OPTIONS])
def test_every_key_of_every_option_has_a_type_and_a_sentence(group: str, name: str) -> None:
    option = reference.describe_option(group, name)
    assert option.summary
    composed = compose(f"{group}={name}")[group]
    assert [each.key for each in option.settings if not (each.type and each.meaning)] == []
    assert {each.key for each in option.settings} == {f"{group}.{key}" for key in composed if key != "name"}


def test_every_key_of_every_section_has_a_type_and_a_sentence() -> None:
    assert reference.SECTION_CLASSES.keys() == SECTIONS.keys()
    config = OmegaConf.to_container(compose())
    assert isinstance(config, dict)
    for section in SECTIONS:
        settings = reference.describe_section(section).settings
        assert [each.key for each in settings if not (each.type and each.meaning)] == []
        assert {each.key for each in settings} == {f"{section}.{key}" for key in config[section]}
    own = {key for key, value in config.items() if not isinstance(value, dict)}
    settings = reference.describe_section(reference.RUN).settings
    assert {each.key for each in settings if each.type and each.meaning} == own


@pytest.mark.parametrize(("group", "name"), OPTIONS, ids=[f"{group}={name}" for group, name in OPTIONS])
def test_types_are_those_of_the_dataclass(group: str, name: str) -> None:
    cls = registry.settings_class(group, str(compose(f"{group}={name}")[group].name))
    described = {each.key.partition(".")[2]: each.type for each in reference.describe_option(group, name).settings}
    fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
    for key, words in described.items():
        type_ = fields[key].type
        text = type_.__name__ if isinstance(type_, type) and not hasattr(type_, "__args__") else str(type_)
        if type_ is Any:  # OmegaConf has no type for one folder, a list of folders or null
            text = {"only_classes": "ClassNames"}.get(key, "Folders")
        assert words == type_words(text), key


def test_ranges_are_read_from_checks_bases_and_constants(tmp_path: Path) -> None:
    def ranges(group: str, name: str) -> dict[str, str]:
        return {each.key: each.range for each in reference.describe_option(group, name).settings}

    assert ranges("threshold", "flexmatch")["threshold.tau"] == "in [0, 1]"
    assert ranges("optimizer", "sgd")["optimizer.momentum"] == "in [0, 1)"
    assert ranges("threshold", "ramp")["threshold.shape"] == "one of linear, cosine"  # an imported constant
    assert ranges("method", "fixmatch")["method.ratio"] == "at least 1"  # checked in the base class
    assert ranges("method", "uda")["method.tsa"] == "one of none, linear, log, exp"  # a dictionary's keys
    assert ranges("dataset", "folder")["dataset.size"] == "in [1, 4096]"  # checked by DecodeSettings
    assert ranges("dataset", "folder")["dataset.max_pixels"] == "in [1, 178956970]"  # a constant of a module
    assert ranges("model", "small_cnn")["model.widths"] == "each at least 1"
    assert ranges("optimizer", "adamw")["optimizer.lr"] == "above 0"
    (tmp_path / "own.py").write_text(
        "from dataclasses import dataclass\nfrom semisup.errors import check_range\n"
        "LIMIT = 2**3\n\n@dataclass(frozen=True)\nclass Own:\n    a: float | None\n    b: str\n\n"
        "    def __post_init__(self) -> None:\n        check_range('a', self.a, 0, LIMIT, above=True)\n"
    )
    assert declared_settings(tmp_path / "own.py") == {"a": ("a number or null", "in (0, 8]"), "b": ("text", "")}


def test_a_yaml_gives_the_comments_that_its_child_does_not_repeat() -> None:
    sizes = {each.key: each for each in reference.describe_option("dataset", "cifar10").settings}
    assert sizes["dataset.size"].default == "32"
    assert sizes["dataset.size"].meaning == "side of the images in pixels after resizing"


def test_help_of_an_option_prints_its_keys_and_imports_no_torch() -> None:
    program = (
        "import sys; from semisup.cli.commands import run_command_line\n"
        "status = run_command_line(['train', '--help', 'threshold=flexmatch', 'augment@weak=weak', 'model=timm'])\n"
        "assert 'torch' not in sys.modules; sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "threshold.tau=0.95    (a number, in [0, 1])\n    minimum confidence for the class" in done.stdout
    assert "weak.shift=0.125" in done.stdout
    assert "model.freeze=none    (text, one of none, encoder, blocks)" in done.stdout


def test_sweepers_of_the_help_are_those_of_the_error() -> None:
    with pytest.raises(SettingError, match="must be one of halving, search "):
        check_names(["hydra/sweeper=halvin"])
    assert option_files("hydra/sweeper") == ["halving", "search"]


@pytest.mark.parametrize("word", ["threshold", "hydra/launcher=cores", "experiment=photographs", "train", "run"])
def test_help_of_groups_sections_and_named_sweeps(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_command(["--help", word]) == 0
    assert word.partition("=")[0] in capsys.readouterr().out


def test_help_of_launchers_and_sweepers_has_a_sentence_for_every_key() -> None:
    for group in ("hydra/launcher", "hydra/sweeper"):
        for name in option_files(group):
            text = reference.describe(f"{group}={name}")
            assert not re.search("^#|_target_|defaults|^params", text, re.MULTILINE), text
            lines = text.splitlines()
            keys = [number for number, line in enumerate(lines) if line.startswith(group.replace("/", "."))]
            assert keys
            assert all(re.match(r" {4}\w", [*lines, ""][number + 1]) for number in keys), text
    text = reference.describe("hydra/sweeper=halving")
    assert "hydra.sweeper.eta=2\n    at each rung, one of this many settings continues" in text
    assert "hydra.sweeper.sampler.seed=0\n    seed of the proposed" in reference.describe("hydra/sweeper=search")


def test_list_of_options_has_whole_sentences() -> None:
    text = reference.describe("experiment")
    for sentence in (
        "three seeds, and their controls.",
        "section 4.1 and appendix B).",
        "(arXiv 2101.08482), and a ramp-up",
    ):
        assert sentence in " ".join(text.split())
    assert "command:" not in text
    for group in ("dataset", "threshold", "method", "hydra/launcher"):
        names = reference.describe(group).split("\n\n")[0].splitlines()[1:]
        assert all(len(line.split()) > 2 for line in names if line[2] != " "), names


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("threshold=flexmach", "flexmatch"),
        ("treshold=fixed", "threshold"),
        ("trian", "train"),
        ("experiment=food", "food11"),
    ],
)
def test_help_of_an_unknown_name_exits_with_2_and_the_nearest_name(
    word: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_command(["--help", word]) == 2
    assert f"did you mean {nearest}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "beginning", "part"),
    [
        ("halving", "hydra/sweeper=halving\n", "hydra.sweeper.rungs="),
        ("sweeper", "hydra/sweeper=\n", "  halving "),
        ("freematch", "threshold=freematch\n", "threshold.momentum="),
        ("threshold.tau", "threshold=", "threshold.tau=0.95    (a number, in [0, 1])"),
        ("tau", "threshold=", "threshold.tau=0.95    (a number, in [0, 1])"),
        ("train.select_by", "train\n", "train.select_by=accuracy"),
        ("rungs", "hydra/sweeper=halving\n", "hydra.sweeper.rungs="),
    ],
)
def test_help_accepts_the_name_of_an_option_a_group_or_a_key(word: str, beginning: str, part: str) -> None:
    text = reference.describe(word)
    assert text.startswith(beginning)
    assert part in text
    if word in ("threshold.tau", "tau", "train.select_by"):
        keys = {line.partition("=")[0] for line in text.splitlines() if re.match(r"\w+\.\w+=", line)}
        assert len(keys) == 1, "only this key"


def test_help_names_the_groups_of_an_option_that_several_groups_have() -> None:
    with pytest.raises(SettingError) as error:
        reference.describe("timm")
    assert "; type semisup train --help encoder=timm or semisup train --help model=timm" in str(error.value)
    with pytest.raises(SettingError, match=r"\(did you mean halving\?\)"):
        reference.describe("halvin")
