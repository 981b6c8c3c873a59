"""Test `semisup predict` on a folder in which no file can be read."""

from pathlib import Path

import pytest

from semisup.images import ignored_files
from tests.conftest import Program
from tests.images.zoo import heic

RUN = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"


def test_error_names_ignored_heic_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Program) -> None:
    monkeypatch.setattr(ignored_files, "heif_version", lambda: None)
    (tmp_path / "photo.heic").write_bytes(heic())
    status, output = program("predict", str(RUN), ".")
    assert status == 2
    message = "holds no image files; ignored 1 file: 1 HEIC; type pip install 'semisup[heic]'\n"
    assert output == f"semisup predict: .: {message}"
