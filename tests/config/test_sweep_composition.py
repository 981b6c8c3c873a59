"""Configs of a sweep's jobs: a copy of a composed config with other values equals the config that Hydra composes."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from semisup.config import sweep_composition
from semisup.config.compose import config_folder
from semisup.config.hydra_versions import initialized, release

pytestmark = pytest.mark.skipif(
    release(hydra.__version__) >= (1, 4), reason="Hydra 1.4 records the overrides of a job differently"
)


@pytest.fixture(scope="module")
def loader() -> Iterator[Any]:
    with initialized(config_folder()):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture(scope="module")
def master(loader: Any) -> DictConfig:
    words = ["hydra.sweep.dir=sweeps", "hydra/launcher=joblib"]
    config: DictConfig = loader.load_configuration("train", overrides=words, run_mode=RunMode.MULTIRUN)
    return config


@pytest.mark.parametrize(
    ("first", "second", "compositions"),
    [
        (["threshold.tau=0.5", "seed=0"], ["threshold.tau=0.75", "seed=3"], 1),
        (["threshold=freematch", "train.steps=5"], ["threshold=freematch", "train.steps=null"], 1),
        (["threshold=freematch", "seed=0"], ["threshold=fixed", "seed=0"], 2),
        (["model.widths=[4,8]", "seed=0"], ["model.widths=[8]", "seed=0"], 2),
        (["seed=0", "train.steps=3", "train={steps: 4}"], ["seed=1", "train.steps=5", "train={steps: 4}"], 2),
        (["train.steps=3", "++train.steps=5", "seed=0"], ["train.steps=3", "++train.steps=5", "seed=1"], 2),
        (["threshold.tau=0.5", "threshold.tau=${augment.strength}"], ["threshold.tau=0.6"], 2),
        (["name=a", "name='b c'", "seed=0"], ["name=b", "name='b c'", "seed=1"], 2),
        (["train.steps=3", "~train.steps=3", "seed=0"], ["train.steps=4", "~train.steps=4", "seed=1"], 2),
    ],
)
def test_config_of_a_job_equals_the_one_that_hydra_composes(
    first: list[str],
    second: list[str],
    compositions: int,
    loader: Any,
    master: DictConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compose = sweep_composition._compose
    calls: list[list[str]] = []
    monkeypatch.setattr(sweep_composition, "_composed", {})
    monkeypatch.setattr(sweep_composition, "_compose", lambda *of: (calls.append(of[-1]), compose(*of))[1])
    for number, words in enumerate((first, second)):
        words = [*words, f"+hydra.job.env_set.SEMISUP_JOB='{number}'"]
        config, expected = loader.load_sweep_config(master, words), compose(loader, master, words)
        assert config == expected
        assert OmegaConf.to_yaml(config) == OmegaConf.to_yaml(expected)
    assert len(calls) == compositions


def test_cached_config_is_not_used_with_another_search_path(
    loader: Any, master: DictConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sweep_composition, "_composed", {})
    other_path = copy.deepcopy(loader.config_search_path)
    other_path.prepend(provider="command-line", path=str(tmp_path))
    for other in (loader, ConfigLoaderImpl(other_path)):
        sweep_composition.load_sweep_config(other, master, ["seed=0"])
    assert len(sweep_composition._composed) == 2
