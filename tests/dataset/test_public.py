"""Test the public data sets with torchvision's readers, on tiny files in the original formats."""

import dataclasses
import functools
import os
import re
import shutil
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from semisup.core.class_split import long_tail
from semisup.dataset import SPLITS, Data, Dataset
from semisup.errors import DataError, SettingError
from semisup.images import cache, pool
from semisup.runner import compatibility
from semisup.runner import data as run_data
from semisup.training.loop import train
from semisup.training.state import start
from tests.conftest import checked, compose, options
from tests.dataset import formats, settings, watch
from tests.dataset.formats import ARRAYS, OWN_UNLABELED, PER_CLASS, TEST_PER_CLASS, Original

NAMES = [*ARRAYS, "eurosat", "food101"]


def chosen(name: str, root: Path, *overrides: str) -> Dataset:
    more = ["dataset.cache=null", "dataset.workers=1"] if name in ("eurosat", "food101") else []
    return settings(name, f"dataset.root={root}", "dataset.labels_per_class=4", *more, *overrides)


def read(name: str, root: Path, *overrides: str) -> Data:
    dataset = chosen(name, root, *overrides)
    survey = dataset.inspect()
    data = dataset.read(survey, watch)
    assert survey.counts == {split: len(getattr(data, split)) for split in SPLITS}
    assert survey.classes == data.classes
    shape = (survey.channels, survey.size, survey.size)
    assert all(getattr(data, split).pixels.shape[1:] == shape for split in SPLITS)
    return data


def written(name: str, root: Path, patch: pytest.MonkeyPatch) -> Original | None:
    if name in ARRAYS:
        return ARRAYS[name](root, patch)
    getattr(formats, name)(root)
    return None


@pytest.fixture
def no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every opening of an image fail."""

    def refuse(*_: object) -> None:
        raise AssertionError("a picture was opened")

    monkeypatch.setattr(pool, "read_file", refuse)
    monkeypatch.setattr(cache, "read_file", refuse)
    monkeypatch.setattr(Image, "open", refuse)


def key_of(data: Data) -> tuple[object, ...]:
    """Return everything that was read, for a comparison with =="""
    images = [getattr(data, split) for split in SPLITS]
    pixels = [each.pixels.numpy().tobytes() for each in images]
    targets = [each.targets.tolist() for each in images]
    return (
        pixels,
        targets,
        [each.paths for each in images],
        data.hidden_targets.tolist(),
        data.fingerprint,
        data.classes,
    )


# Every data set -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_fulfills_the_contract(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(name, tmp_path, monkeypatch)
    data = read(name, tmp_path)
    num_classes = len(data.classes)
    for split in SPLITS:
        images = getattr(data, split)
        assert images.pixels.dtype == torch.uint8
        assert images.targets.dtype == data.hidden_targets.dtype == torch.int64
        assert len(images) == len(images.pixels) == len(images.targets) == len(set(images.paths)) > 0
        assert not any(str(tmp_path) in path for path in images.paths)
    assert set(data.unlabeled.targets.tolist()) == {-1}, "the classes of unlabeled images do not leave hidden_targets"
    assert data.labeled.targets.bincount().tolist() == [4] * num_classes
    validation = data.validation.targets.bincount()
    assert validation.tolist() == [int(validation[0])] * num_classes
    assert data.test.targets.bincount(minlength=num_classes).min() > 0
    assert len(data.hidden_targets) == len(data.unlabeled)
    rows = [row.numpy().tobytes() for split in SPLITS for row in getattr(data, split).pixels]
    assert len(rows) == len(set(rows)), "no image is in two parts"
    known = data.hidden_targets[data.hidden_targets >= 0].bincount(minlength=num_classes)
    dealt = [4 + int(validation[0]) + int(count) for count in known]
    assert dealt == [PER_CLASS - (4 if name == "eurosat" else 0)] * num_classes


@pytest.mark.parametrize("name", NAMES)
def test_only_the_seed_determines_the_split(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(name, tmp_path / "a", monkeypatch)
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere")
    first, other = read(name, tmp_path / "a"), read(name, tmp_path / "a", "seed=1")
    assert key_of(first) == key_of(read(name, tmp_path / "elsewhere"))
    assert key_of(first) == key_of(read(name, tmp_path / "a", "seed=1", "dataset.split_seed=0"))
    assert set(first.labeled.paths) != set(other.labeled.paths)
    assert set(first.validation.paths) != set(other.validation.paths)
    assert (set(first.test.paths) == set(other.test.paths)) == (name != "eurosat")
    assert first.fingerprint != other.fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_long_tail_in_labeled_and_unlabeled_set(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(name, tmp_path, monkeypatch)
    data = read(name, tmp_path, "dataset.imbalance=4", "dataset.imbalance_unlabeled=2")
    counts = data.labeled.targets.bincount().tolist()
    assert counts == long_tail(4, 4, len(data.classes))
    assert counts[0] == 4 * counts[-1]
    known = data.hidden_targets[data.hidden_targets >= 0].bincount().tolist()
    assert known == long_tail(known[0], 2, len(data.classes))
    both = read(name, tmp_path, "dataset.imbalance=4")
    known = both.hidden_targets[both.hidden_targets >= 0].bincount().tolist()
    assert known == long_tail(known[0], 4, len(data.classes)), "the unlabeled follow the labeled unless told"
    if name == "stl10":
        assert (both.hidden_targets < 0).sum() == OWN_UNLABELED


@pytest.mark.parametrize("name", NAMES)
def test_inspection_decodes_no_image(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_bytes: None
) -> None:
    written(name, tmp_path, monkeypatch)
    survey = chosen(name, tmp_path).inspect()
    assert sum(survey.counts.values()) > 0
    assert survey.channels == (1 if "mnist" in name else 3)


def test_horizontal_flips_are_a_property_of_the_data_set() -> None:
    flipped = {name: compose(f"dataset={name}").dataset.hflip for name in options("dataset")}
    assert {name for name, value in flipped.items() if not value} == {"digits", "mnist", "svhn"}


@pytest.mark.parametrize("name", NAMES)
def test_class_with_too_few_images_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(name, tmp_path, monkeypatch)
    with pytest.raises(SettingError, match=r"dataset\.labels_per_class=19: class .+ has only 1\d images for training"):
        chosen(name, tmp_path, "dataset.labels_per_class=19").inspect()


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_are_named_with_the_solution(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(name, tmp_path / "data", monkeypatch)
    files = sorted(
        path for path in (tmp_path / "data").rglob("*") if path.suffix in ("", ".mat", ".meta", ".json", ".bin")
    )
    victim = next(path for path in files if path.is_file()) if name != "eurosat" else tmp_path / "data/eurosat/2750"
    victim.rename(tmp_path / "away")
    with pytest.raises(SettingError) as caught:
        chosen(name, tmp_path / "data").inspect()
    assert caught.value.key == "dataset.root"
    assert str(victim.relative_to(tmp_path / "data")) in str(caught.value)
    assert "dataset.download=true downloads" in str(caught.value)
    with pytest.raises(SettingError, match=r"there is no such folder; dataset.download=true .*did you mean .*data\?"):
        chosen(name, tmp_path / "dataa").inspect()


@pytest.mark.parametrize("setting", ["size=0", "labels_per_class=0", "validation_share=-0.1", "validation_share=0.95",
                                     "split_seed=-1", "imbalance=0.5", "imbalance_unlabeled=0.9"])  # fmt: skip
@pytest.mark.parametrize("name", ["cifar10", "eurosat", "food101"])
def test_setting_out_of_range_is_refused(name: str, setting: str) -> None:
    with pytest.raises(SettingError, match=rf"^dataset\.{setting.partition('=')[0]}="):
        chosen(name, Path("x"), f"dataset.{setting}")


# Arrays ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARRAYS)
def test_every_image_equals_its_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ARRAYS[name](tmp_path, monkeypatch)
    data = read(name, tmp_path)
    assert data.classes == made.classes
    parts = {"train": (made.train, made.targets), "test": (made.test, made.test_targets)}
    if made.own_unlabeled is not None:
        parts["own_unlabeled"] = (made.own_unlabeled, numpy.full(OWN_UNLABELED, -1))
    seen = 0
    for split in SPLITS:
        images = getattr(data, split)
        targets = data.hidden_targets if split == "unlabeled" else images.targets
        for path, pixels, target in zip(images.paths, images.pixels, targets, strict=True):
            part, row = path.split("/")
            assert (pixels.numpy() == parts[part][0][int(row)]).all()
            assert int(target) == parts[part][1][int(row)]
            seen += 1
    assert seen == sum(len(each) for each, _ in parts.values())
    assert len(data.test) == TEST_PER_CLASS * len(made.classes)


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_array_images_are_resized_like_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ARRAYS[name](tmp_path, monkeypatch)
    data, native = read(name, tmp_path, "dataset.size=20"), read(name, tmp_path)
    path, pixels = data.labeled.paths[0], data.labeled.pixels[0]
    original = made.train[int(path.split("/")[1])].transpose(1, 2, 0)
    image = Image.fromarray(original.squeeze()).resize((20, 20), Image.Resampling.BILINEAR)
    assert (numpy.asarray(image).reshape(20, 20, -1).transpose(2, 0, 1) == pixels.numpy()).all()
    assert data.fingerprint == native.fingerprint, "Pillow's version does not change what data these are"
    assert data.labeled.paths == native.labeled.paths


@pytest.mark.parametrize("name", ["cifar10", "svhn", "stl10"])
def test_file_that_differs_from_the_published_one_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ARRAYS[name](tmp_path, monkeypatch)
    chosen(name, tmp_path).inspect()
    file = max((path for path in tmp_path.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"dataset\.root=.*torchvision rejects these files .*corrupted.*remove"):
        chosen(name, tmp_path).inspect()


def test_truncated_idx_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.mnist(tmp_path, monkeypatch)
    file = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"dataset\.root=.*torchvision rejects these files"):
        chosen("mnist", tmp_path).inspect()


def test_more_labels_than_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.mnist(tmp_path, monkeypatch)
    shutil.copy(tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte", tmp_path / "MNIST/raw/train-labels-idx1-ubyte")
    with pytest.raises(DataError, match="the images and the labels of MNIST do not match"):
        chosen("mnist", tmp_path).inspect()


def test_stl10_without_its_class_names_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.stl10(tmp_path, monkeypatch)
    (tmp_path / "stl10_binary/class_names.txt").unlink()
    with pytest.raises(DataError, match=r"STL10 names no classes; is stl10_binary/class_names\.txt missing"):
        chosen("stl10", tmp_path).inspect()


@pytest.mark.parametrize("name", ARRAYS)
def test_fingerprint_changes_with_a_pixel_label_or_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, seen = formats.original, []

    def another_pixel(*arguments: Any) -> Original:
        made = honest(*arguments)
        made.train[3, 0, 5, 5] ^= 1
        return made

    def another_label(*arguments: Any) -> Original:
        made = honest(*arguments)
        row = int(numpy.flatnonzero(made.test_targets != made.test_targets[0])[0])
        made.test_targets[[0, row]] = made.test_targets[[row, 0]]
        return made

    for number, writer in enumerate((honest, another_pixel, another_label)):
        monkeypatch.setattr(formats, "original", writer)
        ARRAYS[name](tmp_path / str(number), monkeypatch)
        seen.append(read(name, tmp_path / str(number)).fingerprint)
    assert len(set(seen)) == 3


@pytest.mark.parametrize("name", ARRAYS)
def test_published_test_image_in_the_training_set_is_reported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = formats.original

    def twice(*arguments: Any) -> Original:
        made = honest(*arguments)
        made.test[2] = made.train[3]
        return made

    monkeypatch.setattr(formats, "original", twice)
    written(name, tmp_path, monkeypatch)
    with pytest.warns(UserWarning, match=r"1 image\(s\) in several of .*train/000003 = test/000002.*data_report\.json"):
        data = read(name, tmp_path)
    twins = data.report["duplicates"]
    assert twins["counts"]["leaks"] == 1
    assert twins["leaks"][0][1] == {"split": "test", "path": "test/000002", "class": data.classes[data.test.targets[2]]}
    assert "near" not in twins["counts"], "they were not looked for"
    with pytest.raises(DataError, match=r"keep one of each, or continue with dataset\.on_duplicate=warn"):
        read(name, tmp_path, "dataset.on_duplicate=error")
    ignored = read(name, tmp_path, "dataset.on_duplicate=ignore")
    assert (ignored.report, ignored.fingerprint) == ({}, data.fingerprint)


def test_labels_per_class_null_labels_all_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.cifar10(tmp_path, monkeypatch)
    data = read("cifar10", tmp_path, "dataset.labels_per_class=null")
    assert data.labeled.targets.bincount().tolist() == [PER_CLASS - 2] * 4
    assert len(data.unlabeled) == 0


def test_changed_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.mnist(tmp_path, monkeypatch)
    before = chosen("mnist", tmp_path).inspect()
    labels = tmp_path / "MNIST/raw/train-labels-idx1-ubyte"
    data = bytearray(labels.read_bytes())
    labels.write_bytes(bytes(data[:8] + data[8:][::-1]))
    os.utime(labels, ns=(0, 1))
    after = chosen("mnist", tmp_path).inspect()
    rows = [survey.index["train"][0].rows.tolist() for survey in (before, after)]
    assert rows[0] != rows[1]


def test_sweep_reads_the_labels_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.cifar10(tmp_path, monkeypatch)
    chosen("cifar10", tmp_path).inspect()
    monkeypatch.setattr(formats.datasets().CIFAR10, "__init__", None)
    assert chosen("cifar10", tmp_path, "seed=5").inspect().counts["labeled"] == 16


# Download: torchvision's own code, from this machine ------------------------------------------------------------------


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the files in `folder` by HTTP; return the address."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning")  # torchvision unpacks it
def test_download_fetches_an_archive_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = formats.cifar10(tmp_path / "made", monkeypatch)
    archive = tmp_path / "server/cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made/cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(formats.datasets().CIFAR10, "tgz_md5", formats.md5(archive))
    with served(archive.parent) as address:
        monkeypatch.setattr(formats.datasets().CIFAR10, "url", f"{address}/{archive.name}")
        data = read("cifar10", tmp_path / "new", "dataset.download=true")
    assert data.classes == made.classes
    archive.unlink()
    again = read("cifar10", tmp_path / "new", "dataset.download=true")
    assert key_of(data) == key_of(again) == key_of(read("cifar10", tmp_path / "new"))


def test_packed_idx_files_in_place_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = formats.idx(tmp_path, "MNIST", packed=True)
    raw, reader = tmp_path / "MNIST/raw", formats.datasets().MNIST
    monkeypatch.setattr(reader, "resources", [(name, formats.md5(raw / name)) for name, _ in reader.resources])
    monkeypatch.setattr(reader, "mirrors", ["file:///nowhere/"])
    with pytest.raises(SettingError, match=r"MNIST needs MNIST/raw/train-images-idx3-ubyte, .*dataset\.download=true"):
        chosen("mnist", tmp_path).inspect()
    assert read("mnist", tmp_path, "dataset.download=true").classes == made.classes


@pytest.mark.parametrize(("name", "reader"), [("cifar10", "CIFAR10"), ("mnist", "MNIST"), ("svhn", "SVHN")])
def test_failed_download_is_reported(name: str, reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = getattr(formats.datasets(), reader)
    monkeypatch.setattr(cls, "url", "file:///nowhere/x.tar.gz", raising=False)
    monkeypatch.setattr(cls, "mirrors", ["file:///nowhere/"], raising=False)
    if name == "svhn":
        lists = {split: ["file:///nowhere/x.mat", *rest] for split, (_, *rest) in cls.split_list.items()}
        monkeypatch.setattr(cls, "split_list", lists)
    with pytest.raises(DataError, match=rf"dataset\.download=true: {reader} could not be downloaded into "):
        chosen(name, tmp_path / "data", "dataset.download=true").inspect()


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["eurosat", "food101"])
def test_every_image_has_the_class_of_its_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(name, tmp_path, monkeypatch)
    data = read(name, tmp_path)
    assert (
        data.classes
        == {"eurosat": ("Forest", "Highway", "River"), "food101": ("apple_pie", "baklava", "waffles")}[name]
    )
    for split in SPLITS:
        images = getattr(data, split)
        targets = data.hidden_targets if split == "unlabeled" else images.targets
        for path, pixels, target in zip(images.paths, images.pixels, targets, strict=True):
            assert path.split("/")[-2] == data.classes[int(target)]
            assert abs(float(pixels[0].float().mean()) - 100 * int(target)) < 5
            number = int(re.findall(r"(\d+)\.jpg", path)[0]) % 1000
            assert abs(float(pixels[1].float().mean()) - 10 * number) < 5


@pytest.mark.parametrize("name", ["eurosat", "food101"])
def test_one_cache_serves_every_split(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(name, tmp_path / "data", monkeypatch)
    first = read(name, tmp_path / "data", f"dataset.cache={tmp_path / 'cache'}")
    for file in (tmp_path / "cache/index").glob("*"):
        file.unlink()  # too fresh to be trusted: hash the files, but decode nothing
    monkeypatch.setattr(cache, "decode_files", None)
    again = read(name, tmp_path / "data", f"dataset.cache={tmp_path / 'cache'}")
    other = read(name, tmp_path / "data", f"dataset.cache={tmp_path / 'cache'}", "seed=7", "dataset.labels_per_class=6")
    assert key_of(first) == key_of(again)
    assert len(other.labeled) == 18


@pytest.mark.parametrize("name", ["eurosat", "food101"])
def test_unusable_files_are_left_out_with_a_warning_or_refused_if_too_many(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(name, tmp_path, monkeypatch)
    whole = read(name, tmp_path)
    victim = whole.unlabeled.paths[2]
    (tmp_path / victim).write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"unlabeled: 1 unusable image\(s\), .* more than dataset\.max_bad_fraction=0\.01"
    ):
        read(name, tmp_path)
    dataset = chosen(name, tmp_path, "dataset.max_bad_fraction=0.5")
    with pytest.warns(UserWarning, match="1 unusable image"):
        data = dataset.read(dataset.inspect(), watch)
    assert data.report["quarantined"]["unlabeled"] == {victim: "unidentified"}
    assert data.unlabeled.paths == [path for path in whole.unlabeled.paths if path != victim]
    assert len(data.hidden_targets) == len(data.unlabeled)
    assert torch.equal(data.hidden_targets, torch.cat([whole.hidden_targets[:2], whole.hidden_targets[3:]]))
    assert torch.equal(data.unlabeled.pixels, torch.cat([whole.unlabeled.pixels[:2], whole.unlabeled.pixels[3:]]))
    assert data.fingerprint != whole.fingerprint


def test_order_of_lists_and_folders_has_no_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    formats.food101(tmp_path / "a")
    formats.food101(tmp_path / "b", turned=True)
    assert key_of(read("food101", tmp_path / "a")) == key_of(read("food101", tmp_path / "b"))
    formats.eurosat(tmp_path / "a")
    before = read("eurosat", tmp_path / "a")
    walk, scandir = os.walk, os.scandir
    monkeypatch.setattr(
        os, "walk", lambda *a, **k: [(top, dirs[::-1], names[::-1]) for top, dirs, names in walk(*a, **k)]
    )

    class Backwards:
        def __init__(self, path: Any = ".") -> None:
            self.entries = list(scandir(path))

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            if not self.entries:
                raise StopIteration
            return self.entries.pop()

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert key_of(before) == key_of(read("eurosat", tmp_path / "a"))


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    formats.eurosat(tmp_path)
    before = read("eurosat", tmp_path)
    images = tmp_path / "eurosat/2750"
    shutil.copy(images / "Forest/Forest_1.jpg", images / "Forest/._Forest_1.jpg")
    shutil.copytree(images / "Forest", images / ".ipynb_checkpoints")
    after = read("eurosat", tmp_path)
    assert key_of(before) == key_of(after)
    assert after.report["ignored"] == {"hidden": 22}


def test_images_of_the_list_that_are_missing_are_named(tmp_path: Path) -> None:
    formats.food101(tmp_path)
    (tmp_path / "food-101/images/baklava/1003.jpg").unlink()
    with pytest.raises(DataError, match=r"1 image\(s\) are missing: food-101/images/baklava/1003\.jpg"):
        chosen("food101", tmp_path).inspect()


def test_empty_class_folder_is_refused(tmp_path: Path) -> None:
    formats.eurosat(tmp_path)
    (tmp_path / "eurosat/2750/Empty").mkdir()
    with pytest.raises(DataError, match=r"torchvision rejects these files .*Empty"):
        chosen("eurosat", tmp_path).inspect()


def test_food101_supports_center_crop(tmp_path: Path) -> None:
    formats.food101(tmp_path)
    path = next((tmp_path / "food-101/images/baklava").glob("*.jpg"))
    Image.fromarray(numpy.tile(numpy.arange(0, 240, 2, dtype=numpy.uint8)[None, :, None], (60, 1, 3))).save(path)
    stretched, cropped = read("food101", tmp_path), read("food101", tmp_path, "dataset.resize=center_crop")
    rows = [
        data.unlabeled.paths + data.labeled.paths + data.validation.paths + data.test.paths
        for data in (stretched, cropped)
    ]
    assert rows[0] == rows[1]
    assert stretched.fingerprint == cropped.fingerprint
    assert any(not torch.equal(getattr(stretched, split).pixels, getattr(cropped, split).pixels) for split in SPLITS)


# Real -----------------------------------------------------------------------------------------------------------------


def test_fashion_mnist_has_the_published_images(shared_data: Path) -> None:
    dataset = chosen("fashion_mnist", shared_data / "fashion_mnist")
    survey = dataset.inspect()
    assert survey.counts == {"labeled": 40, "unlabeled": 53_960, "validation": 6_000, "test": 10_000}
    assert (survey.channels, survey.size) == (1, 28)
    data = dataset.read(survey, watch)
    assert data.classes[0] == "T-shirt/top"
    assert data.classes[9] == "Ankle boot"
    assert data.hidden_targets.bincount().tolist() == [5396] * 10
    assert data.test.targets.bincount().tolist() == [1000] * 10
    assert data.test.targets[:5].tolist() == [9, 2, 1, 1, 6]
    assert float(data.unlabeled.pixels.float().mean()) == pytest.approx(72.94, abs=0.1)


def test_run_on_fashion_mnist_learns(shared_data: Path) -> None:
    config = checked(
        "dataset=fashion_mnist", f"dataset.root={shared_data / 'fashion_mnist'}", "train.steps=20", "optimizer.lr=0.01",
        "dataset.size=14", "model.widths=[8,16]", "train.evaluate_every=8", "method=self_training",
    )  # fmt: skip
    survey = config.dataset.inspect()
    compatibility.check_compatibility(config, survey.classes, survey.counts, survey.channels)
    problem = run_data.build_problem(config, config.dataset.read(survey, watch))
    problem = dataclasses.replace(problem, validation=_first(problem.validation), test=_first(problem.test))
    rows = [event.row() for event in train(problem, config.settings, start(problem, config.settings))]
    accuracies = [row["val/accuracy"] for row in rows if row and "val/accuracy" in row]
    assert accuracies[-1] > 0.3


def _first(images: Any) -> Any:
    return type(images)(images.pixels[:1000], images.targets[:1000], images.paths[:1000])
