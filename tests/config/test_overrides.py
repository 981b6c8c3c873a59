"""Values written as overrides: Hydra reads back exactly what was written."""

from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from semisup.config.overrides import config_overrides
from semisup.config.quoting import format_value, quote
from tests.conftest import checked

TEXT = st.text(st.sampled_from("\\'\"${}a b,=[]()\n:#~")) | st.text()


def composed(value: str) -> Any:
    """The value that `key=VALUE` gives a key, with interpolations resolved as in a composed config."""
    override = OverridesParser.create().parse_override(f"key={value}")
    return OmegaConf.to_container(OmegaConf.create({"key": override.value()}), resolve=True)["key"]  # type: ignore


@given(TEXT.filter(lambda text: "???" not in text))
@example("\\")
@example("a\\b")
@example("it's")
@example("\\'")
@example("\\\\\n")
@example("${oc.env:HOME}")
@example("\\\\${a}")
def test_text_is_read_back(text: str) -> None:
    assert composed(format_value(text)) == text
    if "${" not in text:
        assert composed(quote(text)) == text


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT, st.lists, max_leaves=5)
)
def test_formatted_value_is_read_back(value: Any) -> None:
    if "???" not in str(value):
        assert composed(format_value(value)) == value


def test_saved_paths_with_backslashes_and_quotes_compose_again(tmp_path: Path) -> None:
    config = checked("dataset=folder", f"dataset.root={tmp_path}").config
    odd = config | {"dataset": config["dataset"] | {"root": "/data/a\\b/it's ${here}"}}
    (word,) = (word for word in config_overrides(odd) if word.startswith("dataset.root="))
    assert composed(word.partition("=")[2]) == "/data/a\\b/it's ${here}"


@pytest.mark.parametrize("follow", [True, False])
def test_split_seed_follows_the_seed_by_the_role_of_its_setting(follow: bool) -> None:
    config = checked("seed=3", "dataset.split_seed=3").config
    assert ("dataset.split_seed=${seed}" in config_overrides(config, follow_seed=follow)) is follow
