"""Words as users type them: values that are text, globs, and suggestions for words without a meaning."""

import shlex
from pathlib import Path

import numpy
import pytest
from PIL import Image

from semisup.cli.train import train_command
from semisup.config.compose import compose, config_folder, expand_sweep
from semisup.config.hydra_versions import initialized
from semisup.config.typed_words import to_overrides
from semisup.errors import SettingError


@pytest.mark.parametrize(
    "value",
    [
        "照片",
        "/data/José/fotos",
        "photos (2026)",
        "~/fotos",
        "a=b & 'c' \"d\" #1",
        "C:\\fotos\\neu\\",
        "西红柿 炒鸡蛋",
        "x,[y",
    ],
)
def test_text_without_a_meaning_in_the_grammar_is_the_value(value: str) -> None:
    with initialized(config_folder()):
        config = compose(to_overrides(["dataset=folder", f"dataset.root={value}"]))
    assert config.dataset.root == value


def test_text_with_a_comma_is_refused_in_a_sweep_with_the_words_to_type() -> None:
    with pytest.raises(SettingError) as error:
        to_overrides(["seed=0,1", "dataset.root=/x (1), /y's"], sweep=True)
    several, one = shlex.split(str(error.value).partition("; type ")[2].replace(", or as one value ", " "))
    assert to_overrides([several], sweep=True) == [several]
    assert expand_sweep(several)[1] == ["dataset.root='/x (1)'", "dataset.root='/y\\'s'"]
    assert to_overrides([one], sweep=True) == [one]
    assert expand_sweep(one)[1] == ["dataset.root='/x (1), /y\\'s'"]
    assert to_overrides(["dataset.root=/x (1)"], sweep=True) == ["dataset.root='/x (1)'"]


@pytest.mark.parametrize(
    "word", ["threshold.tau=0.5,0.6", "augment.strength=range(0,1)", "seed=3", "dataset.truth=null"]
)
def test_words_with_a_meaning_are_unchanged(word: str) -> None:
    assert to_overrides([word]) == [word]


def test_glob_becomes_the_list_of_options() -> None:
    assert to_overrides(["threshold=glob(f*)"]) == ["threshold=fixed,flexmatch,freematch"]
    assert to_overrides(["threshold=glob(*,exclude=[a*,c*,d*,f*])"]) == ["threshold=quantile,ramp,softmatch"]


@pytest.mark.parametrize("limit", ["2", "choice(1,2)"])
def test_keep_is_refused_beside_a_limit_even_with_its_default_value(limit: str) -> None:
    with pytest.raises(
        SettingError, match=r"^reject\.keep=0\.95: has no effect with reject\.limit=[12,]+; give only one"
    ):
        to_overrides(["reject=energy", "reject.keep=0.95", f"reject.limit={limit}"], sweep=True)
    for words in (["reject.keep=null", "reject.limit=2"], ["reject.keep=0.95", "reject.limit=null,2"]):
        assert to_overrides(words, sweep=True) == words


def test_keep_and_limit_in_different_rows_of_a_table_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("reject.keep,reject.limit\n0.9,\n,5\n")
    assert len(to_overrides([f"sweep.rows={tmp_path / 'rows.csv'}"], sweep=True)) == 2
    (tmp_path / "rows.csv").write_text("reject.keep,reject.limit\n0.9,5\n")
    with pytest.raises(SettingError, match=r"^reject\.keep=0\.9: has no effect with reject\.limit=5"):
        to_overrides([f"sweep.rows={tmp_path / 'rows.csv'}"], sweep=True)


@pytest.mark.parametrize("word", ["threshold=glob(x*)", "threshold.tau=glob(*)"])
def test_glob_without_a_match_is_refused(word: str) -> None:
    with pytest.raises(SettingError, match=r"glob"):
        to_overrides([word])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["threshold=0.9"], "softmatch; type threshold=fixed threshold.tau=0.9"),
        (["threshold=nan"], "threshold=nan: must be one of"),
        (["threshold=true"], "threshold=true: must be one of"),
        (["augment@weak=0.3"], "type augment@weak=crop_rotate weak.strength=0.3"),
        (["optimizer=1e-3"], "type optimizer=adamw optimizer.lr=1e-3"),
        (["tau=0.9"], "tau=0.9: no such key; type threshold.tau=0.9"),
        (["lr=0.01"], "lr=0.01: no such key; type optimizer.lr=0.01"),
        (["tau=0.5,0.9"], "tau=0.5,0.9: no such key; type -m threshold.tau=0.5,0.9"),
        (["-m", "tau=0.5,0.9"], "tau=0.5,0.9: no such key; type threshold.tau=0.5,0.9"),
        (["threshold.tau", "=", "0.9"], "type threshold.tau=0.9, without spaces around the ="),
        (["threshold.tau=", "0.9", "seed=1"], "type threshold.tau=0.9, without spaces around the ="),
        (["threshold.tau", "=0.9"], "type threshold.tau=0.9, without spaces around the ="),
        (["threshold.tau = 0.9"], "type threshold.tau=0.9, without spaces around the ="),
        (["seed=0..2"], "seed=0..2: must be a list of values; type -m seed=0,1,2"),
        (["seed=0..99"], "seed=0..99: must be a list of values; type -m seed=range(0,100)"),
        (["--experiment", "photographs"], "--experiment photographs: not a flag of semisup train; type experiment="),
        (["--seed=1"], "--seed=1: not a flag of semisup train; type seed=1"),
        (["dataset=folder", "dataset.root=???"], "dataset.root=???: must be given; type dataset.root=PATH"),
        (["-m", "threshold.tau=0.7,", "0.9"], "threshold.tau=0.7,: ends with a comma; type a list without spaces"),
        (["dataset=folder", "dataset.root=my", "photos"], 'as "dataset.root=my photos"'),
        (["train.lr=0.01"], "train.lr=0.01: no such key; type optimizer.lr=0.01"),
        (["model=resnet18"], "type model=torchvision model.architecture=resnet18"),
        (["model=vit_tiny_patch16_224"], "type model=timm model.architecture=vit_tiny_patch16_224"),
        (["encoder=resnet50"], "type encoder=timm encoder.architecture=resnet50"),
        (["dataset=photos"], "type dataset=folder dataset.root=PATH"),
        (["dataset=my photos"], "type dataset=folder dataset.root='my photos'"),
        (["dataset=./my photos"], "type dataset=folder dataset.root='my photos'"),
        (["dataset=/nowhere/digits"], "type dataset=folder dataset.root=PATH"),
        (["dataset=nowhere (1)/photos"], "dataset=nowhere (1)/photos: must be one of"),
        (["model=nowhere/resnet18"], "model=nowhere/resnet18: must be one of"),
        (["+experiment=few_labels"], "experiment has a value already; type experiment=few_labels without the +"),
        (
            ["method=fixmatch", "method.gate=0.3"],
            "no such key in method=fixmatch; it is a key of noisy_student, self_training",
        ),
        (
            ["-m", "method=fixmatch", "method.gate=0", "seed=0,1"],
            "method.gate=0: no such key in method=fixmatch; it is a key of noisy_student, self_training",
        ),
        (
            ["experiment=photographs", "dataset.root=x", "method.gate=0"],
            "method.gate=0: no such key in method=label_propagation; it is a key of noisy_student, self_training",
        ),
        (["method=fixmatch", "+method.gate=0.3"], "in method=fixmatch; it is a key of noisy_student, self_training"),
        (
            ["threshold.momentum=0.9"],
            "threshold.momentum=0.9: no such key in threshold=fixed; it is a key of adamatch, ",
        ),
        (["weak.magnitude=3"], "weak.magnitude=3: no such key"),
        (["dataset.root=photos"], "; type dataset=folder dataset.root=photos"),
        (["method.gate=2"], "method.gate=2.0: must be in [0, 1]"),
        (
            ["-m", "dataset.root=/x (1),/y (2)"],
            "a comma separates the values of a sweep (-m); type \"dataset.root='/x (1)','/y (2)'\", or",
        ),
        (["-m", "threshold=fixed,ramp", "--cfg"], "--cfg describes one run; leave out the other flags"),
    ],
)
def test_error_names_the_words_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    (tmp_path / "my photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert train_command(["tracking=none", *words]) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert message in line


def test_folder_with_any_name_is_trained_and_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, draw = tmp_path / "照片 (2026) a=b & 'c'", numpy.random.default_rng(0)
    for part in ("training/labeled", "validation"):
        for name in ("西红柿 炒鸡蛋", "Piñón, salado"):
            (root / part / name).mkdir(parents=True)
            for number in range(2):
                pixels = draw.integers(0, 256, (8, 8, 3), numpy.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    words = [
        "dataset=folder", f"dataset.root={root}", "dataset.unlabeled=null", "dataset.size=8", "method=supervised",
        "train.epochs=1", "train.batch_size=2", "plots=false", "tracking=none", "name=any",
    ]  # fmt: skip
    assert train_command(words) == 0
    assert train_command(["-m", *words, "seed=0,1"]) == 0
    assert len(list((tmp_path / "outputs" / "any").glob("*/summary.json"))) == 2
