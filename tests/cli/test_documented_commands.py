"""Test that every `semisup ...` command in conf/, in the documentation and in messages works when it is typed.

The commands are collected from the texts. `train` commands are composed and validated in this process, with the values
that they sweep. Missing things are replaced: folders of images by a small one, GPUs by the CPU, outputs by a finished
run.
"""

import contextlib
import re
import shlex
from pathlib import Path

import numpy
import pytest
from PIL import Image

from semisup.cli import commands
from semisup.cli.train import train_command
from semisup.errors import DataError, SettingError
from semisup.sweep import preflight
from tests.cli.test_train import QUICK, only_run
from tests.conftest import Within

ROOT = Path(__file__).parents[2]
NOT_COMMANDS = ("reliability.md", "performance.md", "log.md")  # measurements, and a notebook of what was once typed
SOURCES = [
    *sorted((ROOT / "conf").rglob("*.yaml")),
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name not in NOT_COMMANDS),
    *sorted((ROOT / "semisup" / "cli").glob("*.py")),
]
NAMES = "train|compare|advise|show|reproduce|predict|track"
COMMAND = re.compile(rf"(?:^|[\s`\"($])(?:\.venv/bin/)?semisup (?P<rest>(?:{NAMES})\b.*)")
END = re.compile(r"\s{2,}|\s#|[;`]|,\s|\)\.|\\n|\"\"\"")
PLACEHOLDERS = ("...", "KEY=", "GROUP=", "{", "OPTIONS", "$", " - ", " -sc", "treshold", "zip(", "sweep.rows", "=mine")
"""Parts of commands that are not tested here: placeholders, an intended typing error, the user's own experiment, and
paired values, which `tests/sweep/test_paired_values.py` tests."""


def commands_in(text: str) -> list[str]:
    """Collect the commands in a text, up to the end of the line or code span, or up to a comment."""
    commands = []
    for line in re.sub(r"\s*\\\n[\s#]*", " ", text).splitlines():
        match = COMMAND.search(line)
        if match is None or line[: match.start("rest")].endswith('="semisup '):  # a part of commands, in a variable
            continue
        rest = END.split(match["rest"])[0].rstrip(" .:)")
        rest = rest.rstrip('"') if rest.count('"') % 2 else rest
        if not any(part in f"{rest} " for part in PLACEHOLDERS) and not match["rest"][len(rest) :].startswith("..."):
            commands.append(f"semisup {rest}" + "'" * (rest.count("'") % 2 and not rest.endswith("'")))
    return commands


def collected() -> list[tuple[str, str]]:
    return [(command, str(path.relative_to(ROOT))) for path in SOURCES for command in commands_in(path.read_text())]


TRAIN = sorted({command: place for command, place in collected() if command.startswith("semisup train ")}.items())
OTHERS = sorted({command: place for command, place in collected() if not command.startswith("semisup train")}.items())
OWN_IMAGES = ("dataset.root=photos", "dataset.root=/path/to/photos", "dataset.root=grocery11", "dataset.root=FOLDER")


def test_commands_are_found_where_they_stand() -> None:
    places = {place.partition("/")[0] for _, place in [*TRAIN, *OTHERS]}
    assert {"conf", "README.md", "docs", "semisup"} <= places
    assert len(TRAIN) > 20
    assert {command.split()[1] for command, _ in OTHERS} >= {"compare", "show", "reproduce", "predict", "track"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of images with labeled, unlabeled and validation images."""
    folder = tmp_path_factory.mktemp("documented") / "photos"
    draw = numpy.random.default_rng(0)
    for part in (
        "training/labeled/cat",
        "training/labeled/dog",
        "training/unlabeled",
        "validation/cat",
        "validation/dog",
    ):
        (folder / part).mkdir(parents=True)
        for number in range(70):
            pixels = draw.integers(0, 255, (40, 40, 3), dtype=numpy.uint8)
            Image.fromarray(pixels).save(folder / part / f"{number}.png")
    return folder


@pytest.mark.parametrize(("command", "place"), TRAIN, ids=[command[:80] for command, _ in TRAIN])
def test_train_command_is_composed_and_validated(
    command: str, place: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(command, comments=True)[2:]
    if "--help" in words or "--cfg" in words:
        exits = words == ["--help"]  # Hydra's; with an option or a group it is our own
        with pytest.raises(SystemExit, match="0") if exits else contextlib.nullcontext():
            assert train_command(words) == 0
        return
    multirun = "-m" in words
    overrides = [word for word in words if word != "-m"]
    overrides = [f"dataset.root={photos}" if word in OWN_IMAGES else word for word in overrides]
    overrides = ["device=cpu" if word == "device=cuda" else word for word in overrides]
    overrides = [word for word in overrides if "only_classes" not in word]  # `photos` has other classes
    monkeypatch.setattr(preflight, "MAX_CHECKS", 8)
    try:
        preflight.validate_command(preflight.compose_command(overrides, multirun))
    except DataError:
        may_be_missing = "dataset" in command or "experiment" in command
        if not may_be_missing:
            raise
    except SettingError as error:
        if not any(
            part in str(error) for part in ("needs a plugin", "dataset.root", "of memory", "could not be downloaded")
        ):
            pytest.fail(f"{place}: {command}: {error}")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


def test_other_commands_run(outputs: Path, within: Within) -> None:
    """Run the commands on one finished run, which replaces every run and folder that they name."""
    assert within(outputs, "train", *QUICK, "plots=false", "train.epochs=2").returncode == 0
    run = str(only_run(outputs))
    (outputs / "images").mkdir()
    Image.new("L", (8, 8), 90).save(outputs / "images" / "one.png")
    done: set[tuple[str, ...]] = set()
    for command, place in OTHERS:
        name, *words = shlex.split(command, comments=True)[1:]
        arguments = tuple(
            _replaced(name, word, run)
            for word in words
            if "tracking.mode" not in word and "dataset.root" not in word and word != "--reject"
        )
        if not arguments or (name, *arguments) in done:
            continue
        done.add((name, *arguments))
        result = within(outputs, name, *arguments)
        assert result.returncode == 0, f"{place}: {command}: {result.stderr}"
    assert len(done) >= 5


def _replaced(name: str, word: str, run: str) -> str:
    """Replace a run, folder or image that a command names by an existing one."""
    if word == "RUN" or word.endswith("/RUN"):
        return run
    if name == "predict" and not word.startswith("-") and not word.endswith((".csv", ".parquet")):
        return "images"
    return "outputs/runs" if word.startswith(("outputs", "FOLDER")) else word


def test_commands_of_the_help_text_are_collected() -> None:
    assert len(commands_in(commands.ABOUT)) == 8
