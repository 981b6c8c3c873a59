"""Write tiny data sets in the original formats, with the data that must be read from them, and checksums."""

import gzip
import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
import scipy.io
from numpy.typing import NDArray
from PIL import Image

from semisup.runtime.torchvision_compat import torchvision

Array = NDArray[Any]
PER_CLASS, TEST_PER_CLASS, OWN_UNLABELED = 20, 3, 7


@dataclass(frozen=True)
class Original:
    """Data that were written: pixels (n, C, s, s), class numbers of the splits, class names, unlabeled images."""

    train: Array
    targets: Array
    test: Array
    test_targets: Array
    classes: tuple[str, ...]
    own_unlabeled: Array | None = None


def original(classes: tuple[str, ...], channels: int, size: int, own_unlabeled: int = 0) -> Original:
    """Create random images with classes in random order."""
    draw = numpy.random.default_rng(0)
    noise = lambda count: draw.integers(0, 256, (count, channels, size, size), dtype=numpy.uint8)  # noqa: E731
    targets, test = (draw.permutation(numpy.repeat(numpy.arange(len(classes)), n)) for n in (PER_CLASS, TEST_PER_CLASS))
    unlabeled = noise(own_unlabeled) if own_unlabeled else None
    return Original(noise(len(targets)), targets, noise(len(test)), test, classes, unlabeled)


def datasets() -> Any:
    return torchvision("datasets")


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def dump(path: Path, value: object) -> None:
    """Pickle data as Python 2 did: protocol 2, and numbers where numpy now has booleans."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, 2).replace(b"\x89\x88\x87", b"K\x00K\x01\x87"))


def cifar(
    root: Path, patch: pytest.MonkeyPatch, name: str, labels: str, batches: int, classes: tuple[str, ...]
) -> Original:
    made, reader = original(classes, 3, 32), getattr(datasets(), name)
    folder = root / reader.base_folder
    pieces = numpy.array_split(numpy.arange(len(made.targets)), batches)
    for (file, _), rows in zip(reader.train_list, pieces, strict=True):
        dump(folder / file, {"data": made.train[rows].reshape(len(rows), -1), labels: made.targets[rows].tolist()})
    tests = made.test.reshape(len(made.test), -1)
    dump(folder / reader.test_list[0][0], {"data": tests, labels: made.test_targets.tolist()})
    dump(folder / reader.meta["filename"], {reader.meta["key"]: list(classes)})
    for attribute in ("train_list", "test_list"):
        patch.setattr(reader, attribute, [[file, md5(folder / file)] for file, _ in getattr(reader, attribute)])
    patch.setattr(reader, "meta", reader.meta | {"md5": md5(folder / reader.meta["filename"])})
    return made


def cifar10(root: Path, patch: pytest.MonkeyPatch) -> Original:
    return cifar(root, patch, "CIFAR10", "labels", 5, ("airplane", "automobile", "bird", "cat"))


def cifar100(root: Path, patch: pytest.MonkeyPatch) -> Original:
    return cifar(root, patch, "CIFAR100", "fine_labels", 1, ("apple", "aquarium_fish", "baby"))


def svhn(root: Path, patch: pytest.MonkeyPatch) -> Original:
    made = original(tuple("0123456789"), 3, 32)
    lists = datasets().SVHN.split_list
    root.mkdir(parents=True, exist_ok=True)
    for split, images, targets in (("train", made.train, made.targets), ("test", made.test, made.test_targets)):
        file = root / lists[split][1]
        numbers = numpy.where(targets == 0, 10, targets).astype(numpy.uint8)[:, None]  # 10 is the digit 0
        scipy.io.savemat(file, {"X": images.transpose(2, 3, 1, 0), "y": numbers}, do_compression=True)
        lists = lists | {split: [*lists[split][:2], md5(file)]}
    patch.setattr(datasets().SVHN, "split_list", lists)
    return made


def stl10(root: Path, patch: pytest.MonkeyPatch) -> Original:
    made = original(("airplane", "bird", "car"), 3, 96, OWN_UNLABELED)
    reader, folder = datasets().STL10, root / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    for part, images in (("train", made.train), ("test", made.test), ("unlabeled", made.own_unlabeled)):
        assert images is not None
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())  # column by column
    for part, targets in (("train", made.targets), ("test", made.test_targets)):
        (folder / f"{part}_y.bin").write_bytes((targets + 1).astype(numpy.uint8).tobytes())
    (folder / "class_names.txt").write_text("\n".join(made.classes) + "\n")
    for attribute in ("train_list", "test_list"):
        patch.setattr(reader, attribute, [[file, md5(folder / file)] for file, _ in getattr(reader, attribute)])
    return made


def idx(root: Path, name: str, *, packed: bool = False) -> Original:
    reader = getattr(datasets(), name)
    made = original(tuple(reader.classes), 1, 28)
    folder = root / name / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for part, images, targets in (("train", made.train, made.targets), ("t10k", made.test, made.test_targets)):
        pixels = struct.pack(">IIII", 2051, len(images), 28, 28) + images.tobytes()
        labels = struct.pack(">II", 2049, len(targets)) + targets.astype(numpy.uint8).tobytes()
        for kind, data in (("images-idx3", pixels), ("labels-idx1", labels)):
            path = folder / f"{part}-{kind}-ubyte"
            path.write_bytes(data)
            if packed:
                path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(data))
                path.unlink()
    return made


def mnist(root: Path, patch: pytest.MonkeyPatch) -> Original:
    return idx(root, "MNIST")


def fashion_mnist(root: Path, patch: pytest.MonkeyPatch) -> Original:
    return idx(root, "FashionMNIST")


ARRAYS: dict[str, Callable[[Path, pytest.MonkeyPatch], Original]] = {
    each.__name__: each for each in (cifar10, cifar100, svhn, stl10, fashion_mnist, mnist)
}


def save_jpeg(path: Path, color: tuple[int, int, int], width: int = 64, height: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), color).save(path, quality=95)


def eurosat(root: Path, per_class: int = PER_CLASS) -> None:
    """Write EuroSAT files; every image has a color of its own: red is the class, green the number."""
    for number, name in enumerate(("Forest", "Highway", "River")):
        for image in range(1, per_class + 1):
            save_jpeg(root / f"eurosat/2750/{name}/{name}_{image}.jpg", (100 * number, 10 * image, 0))


def food101(root: Path, *, turned: bool = False) -> None:
    """Write the same images in the layout of Food-101; `turned`: the lists are in another order."""
    lists: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for number, name in enumerate(("apple_pie", "baklava", "waffles")):
        for image in range(PER_CLASS + TEST_PER_CLASS):
            key = f"{name}/{1000 + image}"
            save_jpeg(root / f"food-101/images/{key}.jpg", (100 * number, 10 * image, 0), 80, 60)
            lists["train" if image < PER_CLASS else "test"].setdefault(name, []).append(key)
    meta = root / "food-101/meta"
    meta.mkdir(parents=True, exist_ok=True)
    for part, table in lists.items():
        rows = {name: keys[::-1] for name, keys in reversed(table.items())} if turned else table
        (meta / f"{part}.json").write_text(json.dumps(rows))
        (meta / f"{part}.txt").write_text("".join(f"{key}\n" for keys in rows.values() for key in keys))
    (meta / "classes.txt").write_text("".join(f"{name}\n" for name in lists["train"]))
