"""Run folders of earlier versions: every key that came later has a value; the folder kept here is read and made again.

`fixtures/run-0.1.0` was made by version 0.1.0 and is not made anew; `fixtures/conf-0.1.0.json` names the keys of its
conf/. A key that is new there wants a line in `semisup/record/migrations.py`: what an old config meant without it.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import yaml

from semisup.analysis.runs import read_run
from semisup.config import registry, schema
from semisup.config.nodes import GROUP_NODES, SECTIONS
from semisup.config.run_id import run_id
from semisup.core.added_setting import absent_values
from semisup.errors import SettingError
from semisup.record import checkpoint
from semisup.record.migrations import RENAMED, migrate
from semisup.record.reader import read_config
from tests.conftest import CONF, checked
from tests.second_values import second_values

FIXTURES = Path(__file__).parents[1] / "fixtures"
OLD = FIXTURES / "run-0.1.0"
Plain = dict[str, Any]
KEYS: dict[str, list[str]] = json.loads((FIXTURES / "conf-0.1.0.json").read_text())


def leaves(plain: Plain, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, of nested plain data."""
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        flat |= leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def nested(flat: Plain) -> Plain:
    plain: Plain = {}
    for key, value in flat.items():
        section, _, inner = key.rpartition(".")
        (plain.setdefault(section, {}) if section else plain)[inner] = value
    return plain


@pytest.mark.parametrize("name", sorted(KEYS))
def test_every_later_key_has_a_value_for_old_configs(name: str) -> None:
    whole = yaml.safe_load((CONF / name).read_text())
    group = name.rpartition("/")[0]
    if whole.get("defaults") == ["/torchvision_arrays@_here_"]:
        whole = yaml.safe_load((CONF / "torchvision_arrays.yaml").read_text()) | whole | {"defaults": []}
    of_the_run = {key: value for key, value in whole.items() if key not in ("defaults", "hydra")}
    now = leaves({group: of_the_run} if group else of_the_run)
    then = {f"{group}.{key}" if group else key for key in KEYS[name]}
    assert {RENAMED.get(key, key) for key in then} <= set(now), "a key that is gone makes old configs unreadable"
    named = {f"{group}.name": Path(base).stem for base in whole.get("defaults", []) if group and base != "_self_"}
    found = leaves(migrate({"method": {}} | nested(named | {key: now[RENAMED.get(key, key)] for key in then})))
    assert set(now) <= set(found), f"no line in semisup/record/migrations.py for {sorted(set(now) - set(found))}"


ADDED = [
    (node, name, settings)
    for node, group in GROUP_NODES.items()
    for name in registry.option_names(group)
    if absent_values(settings := registry.settings_class(group, name))
] + [(node, None, settings) for node, settings in SECTIONS.items() if absent_values(settings)]


@pytest.mark.parametrize(("node", "name", "settings"), ADDED)
def test_added_setting_without_effect_is_what_an_old_config_gets_and_not_in_the_run_id(
    node: str, name: str | None, settings: type
) -> None:
    absent = absent_values(settings)
    overrides = [] if name is None else [f"{node}={name}"]
    overrides += ["dataset.root=photos"] if name == "folder" else []
    config = checked("device=cpu", "precision=float32", *overrides).config
    assert {key: config[node][key] for key in absent} == absent, "the default has no effect"
    old = config | {node: {key: value for key, value in config[node].items() if key not in absent}}
    assert run_id(old) == run_id(config)
    assert {key: migrate(old)[node][key] for key in absent} == absent
    values = settings(**{key: value for key, value in config[node].items() if key != "name"})
    for key in absent:
        other = next(second_values(values, key)) if isinstance(absent[key], str) else 0.5
        assert run_id(config | {node: config[node] | {key: other}}) != run_id(config), key


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_renamed_key_keeps_its_value_and_is_refused_under_its_old_name(old: str, new: str) -> None:
    section, _, key = old.partition(".")
    migrated = migrate({"method": {}, section: {key: "kept"}})
    assert migrated[section][new.partition(".")[2]] == "kept"
    assert key not in migrated[section]
    config = checked().config
    config = config | {section: {**config[section], key: 1}}
    with pytest.raises(SettingError) as error:
        schema.validate(config)
    assert str(error.value) == f"{old}=1: was renamed to {new}; type {new}=1"


def test_current_config_is_not_changed_by_migration() -> None:
    for overrides in ((), ("method=fixmatch", "optimizer=sgd")):
        plain = checked(*overrides).config
        assert migrate(plain) == plain


def test_run_of_version_0_1_0_is_read() -> None:
    assert sum(path.stat().st_size for path in OLD.rglob("*") if path.is_file()) < 200_000
    found = schema.validate(read_config(OLD / "config.yaml"))
    assert found.settings.threshold.tau == 0.6
    run = read_run(OLD)
    assert (run.status, run.seed) == ("done", 0)
    assert run.accuracy("test") == json.loads((OLD / "summary.json").read_text())["test/accuracy"]
    best = checkpoint.load(checkpoint.newest(OLD / "checkpoints", "best")[0])
    assert best["accuracy"] == run.accuracy("validation")
    with pytest.raises(ValueError, match="earlier version"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint.load_state(OLD / "checkpoints")
