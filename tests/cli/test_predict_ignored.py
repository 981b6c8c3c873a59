"""Test `semisup predict` on a folder in which no file can be read."""

from argparse import Namespace
from pathlib import Path

import pytest

from semisup.cli.predict import predict_command
from semisup.errors import DataError
from semisup.images import scan
from tests.images.zoo import heic


def test_error_names_ignored_heic_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "heif_version", lambda: None)
    (tmp_path / "photo.heic").write_bytes(heic())
    message = r"holds no image files; ignored 1 file: 1 HEIC; type pip install 'semisup\[heic\]'$"
    with pytest.raises(DataError, match=message):
        predict_command(Namespace(runs=[tmp_path], folder=tmp_path, output=None))
