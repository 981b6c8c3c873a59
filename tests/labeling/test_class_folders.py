"""Class folders of pseudo-labels: places without collisions, links and copies, nothing overwritten."""

import os
from pathlib import Path

import pytest

from semisup.errors import DataError
from semisup.labeling.class_folders import place_images
from semisup.labeling.pseudo_labels import PseudoLabel
from semisup.runtime.atomic_files import NewFolder


def test_images_of_the_same_name_in_different_folders_do_not_collide() -> None:
    paths = ["/data/un/a/1.jpg", "/data/un/b/1.jpg", "/data/un/b/2.jpg"]
    placed = place_images(paths, [PseudoLabel(row, "cat", 0.9) for row in range(3)])
    assert [each.place for each in placed] == [
        f"pseudo_labels/cat/{name}" for name in ("a/1.jpg", "b/1.jpg", "b/2.jpg")
    ]
    assert [each.source for each in placed] == paths


@pytest.mark.parametrize("name", ["a/b", ".", "..", ".hidden", "", "x" * 256])
def test_a_class_that_cannot_name_a_folder_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="--no-folders"):
        place_images(["/data/1.jpg"], [PseudoLabel(0, name, 0.9)])


def test_links_and_copies_do_not_touch_the_source(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    source.write_bytes(b"pixels")
    with NewFolder(tmp_path / "out") as folder:
        folder.link("x/link.jpg", source)
        folder.copy("x/copy.jpg", source)
        folder.write("table.csv", b"file,class\n")
        assert not (tmp_path / "out").exists()
        folder.commit()
    assert (tmp_path / "out/x/link.jpg").resolve() == source
    (tmp_path / "out/x/copy.jpg").write_bytes(b"changed")
    assert source.read_bytes() == b"pixels"
    assert sorted(os.listdir(tmp_path)) == ["a.jpg", "out"]


@pytest.mark.parametrize("kind", ["folder", "file", "broken link"])
def test_what_exists_is_not_overwritten(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "out"
    place.mkdir() if kind == "folder" else place.write_text("mine") if kind == "file" else place.symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="not overwritten"), NewFolder(place):
        pass
    assert os.listdir(tmp_path) == ["out"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), NewFolder(tmp_path / "out") as folder:
        folder.write("table.csv", b"")
        folder.copy("x/copy.jpg", tmp_path / "gone.jpg")
    assert os.listdir(tmp_path) == []
