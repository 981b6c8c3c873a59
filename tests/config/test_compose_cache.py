"""What of a sweep's compositions is not made."""

from types import SimpleNamespace
from typing import Any

import hydra
import pytest
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

from semisup.config.compose import config_folder  # lets Hydra's sweepers know
from semisup.config.compose_cache import composition_key


@pytest.fixture(scope="module")
def config() -> Any:
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        return hydra.compose("train")


def test_hydras_own_sweeper_composes_one_job_of_each_kind(config: Any) -> None:
    (kind_of_sweeper,) = (each for each in Plugins.instance().discover(Sweeper) if each.__name__ == "BasicSweeper")
    sweeper: Any = kind_of_sweeper(max_batch_size=None)
    composed: list[list[str]] = []
    loader = SimpleNamespace(load_sweep_config=lambda sweep_overrides, **_: composed.append(sweep_overrides))
    sweeper.config, sweeper.hydra_context = config, SimpleNamespace(config_loader=loader)
    jobs = [["model=cnn", "seed=0"], ["model=cnn", "seed=1"], ["model=small_cnn", "seed=0"], ["model=cnn", "seed=2"]]
    sweeper.validate_batch_is_legal(jobs)
    assert composed == [jobs[0], jobs[2]]


@pytest.mark.parametrize(
    ("word", "known"),
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
def test_only_the_value_of_a_plain_setting_does_not_count(config: Any, word: str, known: str) -> None:
    assert composition_key([word], config) == (known,)
