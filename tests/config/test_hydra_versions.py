"""Calls of Hydra and OmegaConf without deprecation warnings; pytest turns every warning into an error."""

import hydra
import omegaconf
import pytest
from omegaconf import OmegaConf

from semisup.config.compose import config_folder
from semisup.config.hydra_versions import VERSION_BASE, initialized, register_resolver, release


@pytest.mark.parametrize(
    ("version", "numbers"), [("1.3.8", (1, 3)), ("1.4.0rc3", (1, 4)), ("2.4.1rc1", (2, 4)), ("1.10.0", (1, 10))]
)
def test_release_reads_final_versions_and_candidates(version: str, numbers: tuple[int, int]) -> None:
    assert release(version) == numbers


def test_version_base_is_given_only_to_the_hydra_that_needs_it() -> None:
    assert ({"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}) == VERSION_BASE
    with initialized(config_folder()):
        assert hydra.compose("train").seed == 0


def test_resolver_is_replaced_without_a_warning() -> None:
    for value in (1, 2):
        register_resolver("semisup.test", lambda value=value: value)
    assert OmegaConf.create({"key": "${semisup.test:}"}).key == 2, omegaconf.__version__
