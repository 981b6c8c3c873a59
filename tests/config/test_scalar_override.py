"""Overrides that need no composition of their own."""

from typing import Any

import hydra
import pytest

from semisup.config.compose import config_folder
from semisup.config.hydra_versions import initialized
from semisup.config.scalar_override import composition_key


@pytest.fixture(scope="module")
def config() -> Any:
    with initialized(config_folder()):
        return hydra.compose("train")


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("seed=1", "seed"),
        ("threshold.tau=0.9", "threshold.tau"),
        ("model=cnn", "model=cnn"),
        ("method={gate: 1}", "method={gate: 1}"),
        ("+seed=1", "+seed=1"),
        ("seed=[1,2]", "seed=[1,2]"),
        ("no_such_key=1", "no_such_key=1"),
    ],
)
def test_composition_key_ignores_only_the_value_of_a_scalar_setting(config: Any, word: str, key: str) -> None:
    assert composition_key([word], config) == (key,)
