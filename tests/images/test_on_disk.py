"""Test images that stay in the cache file: they equal images in memory, and take only the memory of a step."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from semisup.errors import DataError
from semisup.images import cache as module
from semisup.images.cache import read
from semisup.images.on_disk import LazyImages, PackedImages
from semisup.images.scan import scan
from tests.images.test_cache import RECIPE, Place, same
from tests.images.zoo import quiet

CPU = torch.device("cpu")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def stored(place: Place) -> module.DecodedImages:
    files = scan(place.files, place.files, follow_symlinks=False).files
    return read(files, RECIPE, place.cache, 1, quiet, on_disk=True)


def test_pack_is_the_same_with_and_without_decoding_in_memory(place: Place) -> None:
    found = stored(place)
    assert found.source == "files"
    assert isinstance(found.pixels, PackedImages)
    streamed = place.pack().read_bytes()
    resident = place.read()
    assert resident.source == "cache"
    assert same(found, resident)
    place.pack().unlink()
    assert same(found, place.read())
    assert place.pack().read_bytes() == streamed
    warm = stored(place)
    assert warm.source == "cache"
    assert same(warm, found)
    assert not list(place.cache.rglob("*.tmp"))


def test_pack_damaged_while_written_is_not_stored(place: Place) -> None:
    cold, whole = stored(place), place.pack().read_bytes()
    for at in (0, 10, 60, len(whole) // 2, len(whole) - 1):
        place.pack().write_bytes(whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :])
        again = stored(place)
        assert again.source == "files"
        assert same(again, cold)
    place.pack().write_bytes(whole[:-20])
    assert stored(place).source == "files"


def test_cache_without_disk_space_tells_what_to_do(place: Place) -> None:
    place.cache.write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot be written .*increase dataset\.memory_gb, or free disk space"):
        stored(place)


def test_lazy_images_give_the_same_results_as_a_tensor() -> None:
    values = torch.randint(0, 256, (60, 3, 4, 4), dtype=torch.uint8)
    first, second = values[:40].numpy(), values[40:].numpy()
    order = torch.randperm(60)
    which = (order >= 40).numpy().astype(numpy.uint8)
    row = torch.where(order >= 40, order - 40, order).numpy()
    images, plain = LazyImages([first, second], which, row, CPU), values[order]
    assert (len(images), images.shape, images.device) == (60, plain.shape, CPU)
    for index in (torch.tensor([5, 5, 59, 0]), torch.arange(60), torch.zeros(0, dtype=torch.int64)):
        assert torch.equal(images[index], plain[index])
    assert torch.equal(images[7], plain[7])
    assert torch.equal(images[[3, 1]], plain[[3, 1]])
    assert torch.equal(torch.cat(list(images.split(7))), plain)
    assert [len(each) for each in images.split(25)] == [25, 25, 10]
    assert torch.equal(images.to(CPU)[2], plain[2])


def test_prefetched_images_are_used_only_for_their_indices() -> None:
    values = torch.randint(0, 256, (60, 3, 4, 4), dtype=torch.uint8)
    images = LazyImages([values.numpy()], numpy.zeros(60, numpy.uint8), numpy.arange(60), CPU)
    index, other = torch.tensor([4, 9, 2]), torch.tensor([1, 9, 2])
    images.ahead(index)
    ready = images.prefetched
    assert ready is not None
    before = ready[1].result()
    taken = images[index]
    assert taken.data_ptr() == before.data_ptr(), "it was not read again"
    assert torch.equal(taken, values[index])
    images.ahead(index)
    assert torch.equal(images[other], values[other])


def test_truncated_cache_file_gives_an_error(tmp_path: Path) -> None:
    path = tmp_path / "pack"
    path.write_bytes(bytes(range(48)) * 10)
    rows = PackedImages(path, (9, 3, 4, 4), 48)
    assert len(rows[[]]) == 0
    assert rows[[1, 2, 7]].shape == (3, 3, 4, 4)
    assert rows[[0]].flatten().tolist() == list(range(48))
    os.truncate(path, 200)
    with pytest.raises(DataError, match="was truncated by another program during the run"):
        rows[[1, 7]]
    path.unlink()
    assert rows[[0]].flatten().tolist() == list(range(48)), "the name is not needed any more"


def test_memory_does_not_grow_with_the_unlabeled_set(tmp_path: Path) -> None:
    """Read all of 768 MiB of pixels, in order and at random, with the memory of a few steps."""
    code = """
import sys
from pathlib import Path
from typing import Any
import numpy, torch
from semisup.images.on_disk import LazyImages, PackedImages
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
path = Path(sys.argv[1])
count = 256 * 2**10
with open(path, "wb") as file:
    file.write(bytes(48))
    for _ in range(256):
        file.write(bytes(3 * 2**20))
rows = PackedImages(path, (count, 3, 32, 32), 48)
images = LazyImages([rows], numpy.zeros(count, numpy.uint8), numpy.arange(count), torch.device("cpu"))
images[torch.arange(64)]
start = peak()
order = torch.randperm(count)
for step in range(400):
    images.ahead(order[(step + 1) * 448 : (step + 2) * 448])
    images[order[step * 448 : (step + 1) * 448]]
for batch in images.split(256):
    pass
print("GREW", peak() - start)
everything = numpy.fromfile(path, numpy.uint8)
print("WHOLE", peak() - start)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "pack")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    grew, whole = (float(line.split()[1]) for line in done.stdout.splitlines())
    assert grew < 50, done.stdout
    assert whole > 400, "the measure sees what is resident"


def test_only_sources_of_the_wanted_images_are_read() -> None:
    class Source:
        """Image whose pixels are its number, and which counts how often it is read."""

        shape = (1, 1, 1, 1)

        def __init__(self, number: int) -> None:
            self.number, self.reads = number, 0

        def __getitem__(self, rows: Any) -> Any:
            self.reads += 1
            return numpy.full((len(rows), 1, 1, 1), self.number, numpy.uint8)

    sources: list[Any] = [Source(number) for number in range(50)]
    images = LazyImages(sources, numpy.arange(50), numpy.zeros(50, int), torch.device("cpu"))
    assert images[torch.tensor([7, 3, 7])].flatten().tolist() == [7, 3, 7]
    assert [number for number, source in enumerate(sources) if source.reads] == [3, 7]
