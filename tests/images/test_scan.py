"""Test which files a scan lists as images, for any other content of the folder and any order of the disk."""

import os
import random
import unicodedata
from pathlib import Path

import pytest

from semisup.errors import DataError
from semisup.images import scan as module
from semisup.images.scan import class_folders, scan
from tests.images.zoo import in_child, oddities, passes


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode("utf-8", "surrogateescape"))


def names(root: Path, folder: Path | None = None, *, follow_symlinks: bool = False) -> list[str]:
    return [file.name for file in scan(root, folder or root, follow_symlinks=follow_symlinks).files]


def test_scan_selects_images_by_suffix_and_counts_ignored_files_by_reason(tmp_path: Path) -> None:
    ignored = oddities(tmp_path)
    fill(tmp_path, "a.jpg", "b/c.PNG", "b/d.JpEg", "x.jpg/e.webp", "f.bmp", "g.gif", "h.tif", "i.tiff")
    found = scan(tmp_path, tmp_path, follow_symlinks=False)
    assert [file.name for file in found.files] == [
        "a.jpg",
        "b/c.PNG",
        "b/d.JpEg",
        "f.bmp",
        "g.gif",
        "h.tif",
        "i.tiff",
        "x.jpg/e.webp",
    ]
    assert found.ignored == ignored


def test_scan_records_size_times_and_inode(tmp_path: Path) -> None:
    fill(tmp_path, "sub/a.jpg")
    (file,) = scan(tmp_path, tmp_path / "sub", follow_symlinks=False).files
    status = os.stat(tmp_path / "sub/a.jpg")
    assert (file.path, file.name, file.bytes_) == (str(tmp_path / "sub/a.jpg"), "sub/a.jpg", status.st_size)
    assert (file.mtime_ns, file.ctime_ns, file.inode) == (status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def test_files_are_sorted_by_the_bytes_of_their_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, *(f"{name}.jpg" for name in ["B", "a", "b/x", "b.b", "é", "z", "I", "\u0131", "İ", "ö", "10", "9"]))
    wanted = names(tmp_path)
    assert [os.fsencode(name) for name in wanted] == sorted(os.fsencode(name) for name in wanted)
    real = os.scandir

    class Shuffled:
        def __init__(self, folder: str) -> None:
            with real(folder) as entries:
                self.entries = list(entries)
            random.Random(3).shuffle(self.entries)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(module.os, "scandir", Shuffled)
    assert names(tmp_path) == wanted


def test_links_are_followed_once_and_own_names_are_preferred(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    fill(root, "b/one.jpg", "c/two.jpg")
    fill(outside, "three.jpg", "four.jpg")
    (root / "a").symlink_to("b")  # sorts before what it leads to
    (root / "a.jpg").symlink_to("c/two.jpg")
    (root / "b/up").symlink_to(root)
    (root / "b/self").symlink_to(".")
    (root / "out").symlink_to(outside)
    (root / "out.jpg").symlink_to(outside / "three.jpg")
    (root / "broken.jpg").symlink_to("nowhere")
    (root / "x.jpg").symlink_to("x.jpg")
    os.mkfifo(tmp_path / "fifo")
    (root / "fifo.jpg").symlink_to(tmp_path / "fifo")
    assert names(root) == ["b/one.jpg", "c/two.jpg"]
    found = scan(root, root, follow_symlinks=True)
    assert [file.name for file in found.files] == ["b/one.jpg", "c/two.jpg", "out/four.jpg", "out/three.jpg"]
    assert found.ignored == {"broken symlink": 2, "not a regular file": 1, "seen already": 5}


def test_escaped_names_are_printable_and_different(tmp_path: Path) -> None:
    odd = [
        b"new\nline.jpg",
        b"rlo\xe2\x80\xaegpj.jpg",
        b"esc\x1b[2J.jpg",
        b"\xff\xfe.jpg",
        b"back\\slash.jpg",
        b"\\n.jpg",
    ]
    for name in [*odd, b"\n.jpg", "NFC é.jpg".encode(), unicodedata.normalize("NFD", "NFC é.jpg").encode()]:
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    found = names(tmp_path)
    assert len(set(found)) == 9
    assert all(name.isprintable() and name.encode() for name in found)
    assert {"new\\nline.jpg", "rlo\\u202egpj.jpg", "\\udcff\\udcfe.jpg", "\\n.jpg", "\\\\n.jpg"} < set(found)


@pytest.mark.parametrize("what", ["missing", "a file", "a fifo"])
def test_path_that_is_no_folder_is_named(tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    if what == "a file":
        place.write_bytes(b"")
    if what == "a fifo":
        os.mkfifo(place)
    for look in (scan, lambda _, folder, **links: class_folders(folder, **links)):
        with pytest.raises(DataError, match="place"):
            look(tmp_path, place, follow_symlinks=False)


def test_unreadable_folder_is_named(open_path: Path) -> None:
    fill(open_path, "a.jpg", "locked/b.jpg", "blind/c.jpg")
    (open_path / "locked").chmod(0)
    (open_path / "blind").chmod(0o444)

    def look() -> None:
        for name in ("locked", "blind"):
            with pytest.raises(DataError, match=name):
                scan(open_path, open_path / name, follow_symlinks=False)
        with pytest.raises(DataError, match=r"locked|blind"):
            scan(open_path, open_path, follow_symlinks=False)

    assert passes(in_child(look, user=65534))


def test_class_names_are_sorted_normalized_names_of_folders(tmp_path: Path) -> None:
    fill(tmp_path, "b/1.jpg", "a/1.jpg", ".ipynb_checkpoints/1.jpg", "file.jpg", "Z/1.jpg", "new\nline/1.jpg")
    decomposed = unicodedata.normalize("NFD", "crème")
    (tmp_path / decomposed).mkdir()
    (tmp_path / "linked").symlink_to("a")
    folders = class_folders(tmp_path, follow_symlinks=False)
    assert list(folders) == ["Z", "a", "b", "crème", "new\\nline"]
    assert folders["crème"] == tmp_path / decomposed
    assert "linked" in class_folders(tmp_path, follow_symlinks=True)


def test_two_folders_with_one_class_name_are_refused(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "crème")).mkdir()
    with pytest.raises(DataError, match="crème"):
        class_folders(tmp_path, follow_symlinks=False)
