"""Test the detection of image formats by the first bytes of a file."""

from pathlib import Path

import pytest

from semisup.images import ignored_files
from semisup.images import scan as module
from semisup.images.formats import SIGNATURE_BYTES, TGA_FOOTER, is_avif, is_heif, is_image_content
from tests.images.zoo import avif, heic, plain, saved


@pytest.mark.parametrize("brand", [b"avif", b"mif1", b"msf1"])
def test_avif_of_any_main_brand_is_not_heif(brand: bytes) -> None:
    head = avif(brand)[:SIGNATURE_BYTES]
    assert is_avif(head)
    assert is_image_content(head)
    assert not is_heif(head)


def test_heif_of_general_brand_is_not_avif() -> None:
    data = heic()
    head = (data[:8] + b"mif1" + data[12:])[:SIGNATURE_BYTES]
    assert is_heif(head)
    assert not is_avif(head)


def test_avif_of_general_brand_is_not_ignored_without_heic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ignored_files, "heif_version", lambda: None)
    for name in ("a.avif", "a.heif", "a.bak"):
        (tmp_path / name).write_bytes(avif(b"mif1"))
    result = module.scan(tmp_path, tmp_path, follow_symlinks=False)
    assert [file.name for file in result.files] == ["a.avif", "a.bak", "a.heif"]


def test_tga_of_the_first_version_is_ignored_by_its_suffix(tmp_path: Path) -> None:
    second = saved(plain(), "TGA")
    (tmp_path / "first.tga").write_bytes(second.removesuffix(TGA_FOOTER))
    (tmp_path / "empty.tga").touch()
    (tmp_path / "second.TGA").write_bytes(second)
    (tmp_path / "png.tga").write_bytes(saved(plain(), "PNG"))
    result = module.scan(tmp_path, tmp_path, follow_symlinks=False)
    assert [file.name for file in result.files] == ["png.tga", "second.TGA"]
    assert result.suffixes == {".tga": 2}
