"""Test decoding inside a joblib worker, whose start method is unknown to its child processes."""

import os
from pathlib import Path

import numpy
import pytest
from PIL import Image

from semisup.images.decode_settings import DecodeSettings
from semisup.images.pool import FEW_BYTES, FEW_FILES, decode_files
from semisup.images.scan import scan

RECIPE = DecodeSettings(16, "stretch", draft=False, background=255, max_pixels=10**7)


def decoded(folder: Path) -> list[str | None]:
    files = scan(folder, folder, follow_symlinks=False).files
    return [outcome.reason for outcome in decode_files(files, RECIPE, workers=2)]


def test_many_large_files_are_decoded_in_a_worker_of_joblib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joblib = pytest.importorskip("joblib")
    noise = numpy.random.default_rng(0).integers(0, 256, (320, 320, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(tmp_path / "0.png")
    for number in range(1, FEW_FILES + 1):
        os.link(tmp_path / "0.png", tmp_path / f"{number}.png")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > FEW_BYTES, "enough for processes"
    found = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(decoded)(tmp_path) for _ in range(2))
    assert found == [[None] * (FEW_FILES + 1)] * 2
