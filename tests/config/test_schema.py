"""Any value of any setting gives a valid run or a one-line error that names the key."""

import functools
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semisup.cli.train import train_command
from semisup.config import registry, schema
from semisup.errors import SettingError
from semisup.record.reader import read_config
from semisup.runner import compatibility
from semisup.runner.result import run_folder
from tests.conftest import checked, choose, options
from tests.encoder.toy import encoder_words

COUNTS = {"labeled": 40, "unlabeled": 100, "validation": 50, "test": 50}
QUICK = settings(
    max_examples=100, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ODD: Any = st.sampled_from([
    *(None, True, False, 0, -1, 1, 2, 3, 7, 64, 4097, 2**31, 2**32, 2**63, 2**64, 10**30, -(2**63), 0.0, -0.0, 0.5),
    *(1.0, 1.5, -1.5, 1e-300, 1e300, float("inf"), float("-inf"), float("nan"), "", " ", "nan", "1e3", "0x10", "off"),
    *("null", "../..", "/", "wandb", "a" * 300, "\x1b[2J", "<script>", "\udcff", "${seed}", "???", "é", "cpu", "auto"),
    *([], [1], [0], [-1], [1.5], ["x"], [None], [[1]], [1] * 50, {}, {"name": "fixed"}, {"_target_": "os.system"}),
])  # fmt: skip
VALUES = st.one_of(ODD, st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(-2, 300), max_size=4))


@functools.cache
def _configs() -> list[schema.ConfigDict]:
    """One config for each option of each group."""
    configs = []
    for group in registry.GROUPS:
        for name in options(group):
            given_ = {"root": "/nowhere", "tau": 0.9} if group == "dataset" else {}
            average = ["train.ema_decay=0.9"] if group == "method" else []
            words = encoder_words(name) if group == "encoder" else average
            configs.append(checked("device=cpu", *choose(group, name, **given_), *words).config)
    return configs


def places(plain: schema.ConfigDict) -> list[tuple[str, ...]]:
    inner = [(key, each) for key, value in plain.items() if isinstance(value, dict) for each in value]
    return [*inner, *((key,) for key in plain), ("new",), ("train", "new")]


@st.composite
def changed(draw: st.DrawFn) -> schema.ConfigDict:
    """A saved config with one to three values that are others."""
    plain = {**draw(st.sampled_from(_configs()))}
    for _ in range(draw(st.integers(1, 3))):
        *section, key = draw(st.sampled_from(places(plain)))
        value = draw(VALUES)
        if section and isinstance(plain[section[0]], dict):
            plain[section[0]] = plain[section[0]] | {key: value}
        elif not section:
            plain[key] = value
    return plain


@QUICK
@given(changed())
def test_any_value_of_any_setting_is_accepted_or_refused_by_key(plain: schema.ConfigDict) -> None:
    try:
        run_config = schema.validate(plain)
        if run_config.dataset.size <= 64:
            compatibility.check_compatibility(run_config, list("abcdefghij"), COUNTS, 3)
    except SettingError as caught:
        error = caught
    else:
        assert run_config.id
        return
    assert error.key
    assert str(error).isprintable(), ascii(str(error))


@QUICK
@given(changed())
def test_saved_config_loads_and_saves_as_the_same_bytes(tmp_path: Path, plain: schema.ConfigDict) -> None:
    try:
        run_config = schema.validate(plain)
    except SettingError:
        return
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(run_config.config, sort_keys=False, allow_unicode=False))
    again = schema.validate(read_config(path))
    assert again.config == run_config.config
    assert again.id == run_config.id
    assert yaml.safe_dump(again.config, sort_keys=False, allow_unicode=False) == path.read_text()


@QUICK
@given(changed(), st.text(st.sampled_from(string.printable + "é\u202e\x00"), max_size=120))
def test_run_folder_is_a_short_printable_name_below_the_root(plain: schema.ConfigDict, name: str) -> None:
    try:
        run_config = schema.validate(plain | {"output_root": "/root of all", "name": name or plain["name"]})
    except SettingError:
        return
    folder = run_folder(run_config)
    assert str(folder.parent.parent) == "/root of all"
    assert ".." not in folder.parts
    assert all(0 < len(part) <= 160 and part.isprintable() for part in folder.parts[1:])


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--help"], ["-c", "all"], ["--info"]])
def test_misspelled_key_is_reported_when_only_showing_the_config(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_command([*words, "treshold.tau=0.9"]) == 2
    output = capsys.readouterr()
    assert output.err == "semisup train: treshold.tau=0.9: no such key; type threshold.tau=0.9\n"
    assert output.out == ""


def test_gate_is_auto_or_a_number_and_whole_numbers_are_stored_as_numbers_with_a_point() -> None:
    assert checked("method.gate=auto").config["method"]["gate"] == "auto"
    assert checked("method=noisy_student").config["method"]["gate"] == 0.6
    gate = checked("method.gate=0").config["method"]["gate"]
    assert (gate, type(gate)) == (0.0, float)
    for value in ("atuo", "true", "null", "[1]"):
        with pytest.raises(SettingError, match=r"method\.gate=.*: must be "):
            checked(f"method.gate={value}")
