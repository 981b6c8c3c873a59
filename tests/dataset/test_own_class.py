"""Test that a data set class of another package needs only `size`, `decode_settings`, `inspect` and `read`."""

import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from semisup.config import registry, schema
from semisup.config.run_id import result_config
from semisup.dataset import Data, DatasetInfo, some_images
from semisup.images.decode_settings import DecodeSettings
from tests.conftest import compose, toy_images


@dataclass(frozen=True)
class Bands:
    """Data set of generated images."""

    size: int

    def decode_settings(self) -> DecodeSettings:
        return DecodeSettings(self.size, "stretch", draft=False, background=0, max_pixels=10**6)

    def inspect(self) -> DatasetInfo:
        counts = {"labeled": 12, "unlabeled": 12, "validation": 12, "test": 12}
        return DatasetInfo(("a", "b", "c"), 1, self.size, counts, None)

    def read(self, info: DatasetInfo, watch: Any) -> Data:
        splits = {split: toy_images(12, 3, self.size, seed=number) for number, split in enumerate(info.counts)}
        return Data(**splits, hidden_targets=torch.full((12,), -1), classes=info.classes, fingerprint="x")


@pytest.fixture
def bands(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = types.ModuleType("bands_package")
    Bands.__module__ = module.__name__
    module.Bands = Bands  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    entry = EntryPoint("bands", module.__name__, "semisup.dataset")
    monkeypatch.setattr(registry, "installed_entry_points", lambda: EntryPoints([entry]))
    registry.settings_class.cache_clear()
    yield
    registry.settings_class.cache_clear()


@pytest.mark.usefixtures("bands")
@pytest.mark.parametrize("augment", ["randaugment", "weak", "crop_rotate"])
def test_data_set_with_the_four_required_members_is_complete(augment: str) -> None:
    composed = compose(f"augment={augment}", "tracking=none")
    OmegaConf.set_struct(composed, False)
    composed.dataset = {"name": "bands", "size": 8}
    config = schema.validate(composed)
    assert config.config["augment"].get("flip", True) is True, "flipped unless the data set says otherwise"
    assert result_config(config.config)["dataset"] == {"name": "bands", "size": 8}
    data = config.dataset.read(config.dataset.inspect(), lambda items, *_: items)
    images = some_images(config.dataset, "validation", data.validation.paths[:2], "x")
    assert [*images] == data.validation.paths[:2]
