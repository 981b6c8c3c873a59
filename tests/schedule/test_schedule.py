"""Schedules: a factor in [0, 1], a warm-up from 0, and the published values."""

import math

import pytest

from semisup.errors import SettingError
from tests.conftest import checked, options

SCHEDULES = options("schedule")


def factors(*overrides: str, points: int = 100) -> list[float]:
    schedule = checked(*overrides).settings.schedule
    return [schedule.factor(point / points) for point in range(points + 1)]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 0.25, 1])
def test_schedules_increase_from_0_only_during_warmup(name: str, warmup: float) -> None:
    found = factors(f"schedule={name}", f"schedule.warmup={warmup}")
    assert all(0 <= factor <= 1 for factor in found)
    rising, falling = found[: int(warmup * 100)], found[int(warmup * 100) :]
    assert rising == pytest.approx([point / (warmup * 100) for point in range(len(rising))])
    assert falling[0] == 1
    assert falling == sorted(falling, reverse=True)


def test_cosine_ends_at_its_final_factor() -> None:
    found = factors("schedule=cosine", "schedule.warmup=0", "schedule.final=0.1")
    assert found[50] == pytest.approx(0.55)
    assert found[100] == pytest.approx(0.1)


def test_partial_cosine_equals_fixmatchs_schedule() -> None:
    found = factors("schedule=partial_cosine", points=1024)
    assert found == pytest.approx([math.cos(7 * math.pi * step / (16 * 1024)) for step in range(1025)])
    assert found[1024] == pytest.approx(0.195, abs=1e-3)
    assert factors("schedule=partial_cosine", "schedule.half_periods=0") == [1] * 101
    assert factors("schedule=partial_cosine", "schedule.half_periods=0.5")[100] == pytest.approx(0, abs=1e-15)
    with pytest.raises(SettingError, match=r"schedule\.half_periods=1\.0: must be in \[0, 0\.5\]"):
        checked("schedule=partial_cosine", "schedule.half_periods=1")
