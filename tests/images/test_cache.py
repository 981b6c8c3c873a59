"""Test the image cache: its pixels equal decoded ones, even if cache or files were changed."""

import dataclasses
import json
import os
import resource
import shutil
import signal
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar

import numpy
import pytest
from PIL import Image

from semisup.errors import SettingError
from semisup.images import cache as module
from semisup.images import pool
from semisup.images.cache import DecodedImages, read
from semisup.images.decode_settings import DecodeSettings
from semisup.images.packs import PREFIX
from semisup.images.scan import ImageFile, scan
from semisup.runtime import atomic_files
from tests.conftest import SOAK
from tests.images.zoo import in_child, no_pictures, noise, passes, pictures, quiet, saved

T = TypeVar("T")
RECIPE = DecodeSettings(size=8, resize="stretch", draft=False, background=100, max_pixels=10**6)


class Place:
    """Folder of images, some of them unusable, with a cache."""

    def __init__(self, folder: Path) -> None:
        self.files, self.cache = folder / "files", folder / "cache"
        self.did: list[tuple[str, int]] = []
        self.files.mkdir()
        for number in range(5):
            (self.files / f"{number}.png").write_bytes(saved(noise(seed=number), "PNG"))
        animated = next(kind for kind in pictures() if kind.animated)
        for kind in [animated, *no_pictures()[:2]]:
            (self.files / f"zoo_{kind.name}").write_bytes(kind.data)

    def read(self, recipe: DecodeSettings = RECIPE, cache: Path | None = None) -> DecodedImages:
        """Scan the folder and read its images; `did` lists the operations that were displayed."""
        files = scan(self.files, self.files, follow_symlinks=False).files
        self.did = []
        return read(files, recipe, cache or self.cache, 1, self.watch)

    def watch(self, items: Iterable[T], description: str, total: int) -> Iterable[T]:
        self.did.append((description, total))
        return items

    def pack(self) -> Path:
        (path,) = (self.cache / "packs").iterdir()
        return path

    def index(self) -> list[str]:
        return sorted(os.listdir(self.cache / "index")) if (self.cache / "index").exists() else []


def same(one: DecodedImages, other: DecodedImages) -> bool:
    """Whether two results are equal, except for the place of the files."""
    fields = [field.name for field in dataclasses.fields(DecodedImages) if field.name not in ("pixels", "source")]
    return numpy.array_equal(one.pixels, other.pixels) and all(
        getattr(one, key) == getattr(other, key) for key in fields
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock to an hour after the creation of the files, so that their times are trusted."""
    monkeypatch.setattr(module, "time", SimpleNamespace(time_ns=lambda: time.time_ns() + 3600 * 10**9))


def test_cache_reports_the_outcome_of_every_file(place: Place) -> None:
    found = place.read()
    assert found.pixels.shape == (6, 3, 8, 8)
    assert found.pixels.dtype == numpy.uint8
    assert found.pixels.flags.c_contiguous
    assert found.names == ("0.png", "1.png", "2.png", "3.png", "4.png", "zoo_animated.gif")
    assert found.decoded == (0, 1, 2, 3, 4, 5)
    assert [reason for _, reason in found.quarantined] == ["truncated", "truncated"]
    assert (found.animated, found.source, len(set(found.digests))) == (1, "files", 8)


@pytest.mark.usefixtures("later")
def test_second_read_opens_no_image(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = place.read()
    assert place.did == [("decoding", 8)]
    for where, name in ((module, "read_file"), (pool, "read_file"), (Image, "open")):
        monkeypatch.setattr(where, name, lambda *_, **__: pytest.fail("a picture was opened"))
    warm = place.read()
    assert same(cold, warm)
    assert warm.source == "cache"
    assert place.did == []
    assert warm.pixels.flags.writeable
    assert warm.pixels.flags.c_contiguous


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("at_once", [1024, 3])
def test_touched_files_are_hashed_but_not_decoded(place: Place, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "HASH_CHUNK", at_once)
    cold = place.read()
    for path in place.files.iterdir():
        os.utime(path)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("a picture was decoded"))
    found = place.read()
    assert same(cold, found)
    assert found.source == "cache"
    assert place.did == [("hashing", 8)]
    assert same(cold, place.read())
    assert place.did == []


@pytest.mark.usefixtures("later")
def test_moved_data_set_uses_the_same_cache(place: Place) -> None:
    cold = place.read()
    shutil.copytree(place.files, place.files.with_name("copy"))
    place.files = place.files.with_name("copy")
    assert same(cold, place.read())
    assert place.did == [("hashing", 8)]


def test_recently_changed_files_are_hashed_again(place: Place) -> None:
    cold = place.read()
    assert place.index() == []
    assert same(cold, place.read())
    assert place.did == [("hashing", 8)]
    assert place.index() == []


def test_times_in_the_future_are_not_trusted(place: Place, later: None) -> None:
    os.utime(place.files / "0.png", (2**33, 2**33))
    place.read()
    assert place.index() == []


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("how", ["in place", "by rename"])
def test_changed_content_with_equal_size_and_time_is_detected(place: Place, how: str) -> None:
    path = place.files / "0.png"
    old, status = place.read(), path.stat()
    time.sleep(0.02)  # beyond a tick of the clock of file systems
    changed = saved(noise(seed=99), "PNG")
    content = changed[: status.st_size].ljust(status.st_size, b"\0")
    target = path if how == "in place" else path.with_name("new")
    target.write_bytes(content)
    target.replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    found = place.read()
    assert found.source == "files"
    assert found.digests[0] != old.digests[0]
    assert found.digests[1:] == old.digests[1:]


@pytest.mark.usefixtures("later")
def test_other_decode_settings_have_another_cache_entry(place: Place) -> None:
    first = place.read()
    for change in ({"size": 9}, {"resize": "center_crop"}, {"background": 0}, {"draft": True}, {"max_pixels": 10**5}):
        assert place.read(dataclasses.replace(RECIPE, **change)).source == "files"
        assert place.did == [("decoding", 8)]  # the digests were known
    assert same(first, place.read())
    assert place.did == []


@pytest.mark.usefixtures("later")
def test_order_and_names_of_files_are_those_of_the_call(place: Place) -> None:
    files = scan(place.files, place.files, follow_symlinks=False).files
    straight = read(files, RECIPE, place.cache, 1, quiet)
    turned = read(files[::-1], RECIPE, place.cache, 1, quiet)
    assert turned.digests == straight.digests[::-1]
    assert turned.names == straight.names[::-1]
    assert numpy.array_equal(turned.pixels, straight.pixels[::-1])


@pytest.mark.usefixtures("later")
def test_reading_no_files_without_a_cache_works(place: Place) -> None:
    for _ in range(2):
        assert read([], RECIPE, place.cache, 1, quiet).pixels.shape == (0, 3, 8, 8)
    files = scan(place.files, place.files, follow_symlinks=False).files
    assert same(read(files, RECIPE, None, 1, quiet), place.read())
    with pytest.raises(SettingError, match="workers"):  # even where no work is left
        read(files, RECIPE, place.cache, 0, quiet)


class Deadly:
    """Path that ends the process that opens it."""

    name = "deadly.png"

    def __fspath__(self) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return self.name


@pytest.mark.usefixtures("later")
def test_file_that_crashed_its_decoder_is_not_decoded_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    deadly = ImageFile(Deadly(), "deadly.png", 1, 1, 1, 1)  # type: ignore[arg-type]
    files = [*scan(place.files, place.files, follow_symlinks=False).files, deadly]
    cold = read(files, RECIPE, place.cache, 2, quiet)
    assert cold.quarantined[-1] == ("deadly.png", "crashed")
    assert (cold.digests[-1], len(cold.pixels)) == ("", 6)
    monkeypatch.setattr(pool, "decode_isolated", lambda *_: pytest.fail("started a process"))
    warm = read(files, RECIPE, place.cache, 2, quiet)
    assert same(cold, warm)
    assert warm.source == "cache"


@pytest.mark.usefixtures("later")
def test_damaged_pack_is_rebuilt(place: Place) -> None:
    cold, whole = place.read(), place.pack().read_bytes()
    payload = cold.pixels.nbytes
    header = len(whole) - payload
    lengths = (0, 1, PREFIX.size - 1, PREFIX.size, header - 1, header, len(whole) - payload // 6, len(whole) - 1)
    damaged = [whole[:length] for length in lengths]
    for place_ in [*range(0, header, 7), *range(8, 16), header, len(whole) // 2, len(whole) - 1]:
        damaged += [whole[:place_] + bytes([whole[place_] ^ 1 << bit]) + whole[place_ + 1 :] for bit in (0, 6, 7)]
    damaged += [whole + b"\0", whole + bytes(payload // 6), b"", whole[::-1]]
    for content in damaged:
        place.pack().write_bytes(content)
        found = place.read()
        assert same(cold, found)
        assert found.source == "files"
        assert place.pack().read_bytes() == whole


@pytest.mark.usefixtures("later")
def test_pack_with_a_shifted_header_is_refused(place: Place) -> None:
    """Digest and sizes would agree if the digest did not cover the length of the header."""
    cold, whole = place.read(), place.pack().read_bytes()
    magic, version, length, digest = PREFIX.unpack(whole[: PREFIX.size])
    for shift in (192, cold.pixels.nbytes + 192):
        place.pack().write_bytes(PREFIX.pack(magic, version, length + shift, digest) + whole[PREFIX.size :])
        assert same(cold, place.read())


@pytest.mark.usefixtures("later")
def test_renamed_pack_is_not_used(place: Place) -> None:
    place.read()
    first = place.pack()
    time.sleep(0.02)
    (place.files / "0.png").write_bytes(saved(noise(seed=99), "PNG"))
    other = place.read()
    (second,) = set((place.cache / "packs").iterdir()) - {first}
    shutil.copy(first, second)
    found = place.read()
    assert same(other, found)
    assert found.source == "files"


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"[1,2,3,4,5,6,7,8]", b"\xff", b'{"a": 1}', b"null", b"flip", b"swap"]
)
def test_damaged_index_is_rebuilt(place: Place, content: bytes) -> None:
    cold = place.read()
    (name,) = place.index()
    path = place.cache / "index" / name
    whole = path.read_bytes()
    if content == b"flip":
        content = whole[:-3] + (b"0" if whole[-3:-2] != b"0" else b"1") + whole[-2:]
    if content == b"swap":
        key, *known = json.loads(whole)
        content = json.dumps([key, *known[::-1]]).encode()
    path.write_bytes(content)
    assert same(cold, place.read())
    assert place.did != []
    assert path.read_bytes() == whole
    assert same(cold, place.read())
    assert place.did == []


@pytest.mark.usefixtures("later")
def test_renamed_index_is_not_used(place: Place) -> None:
    """The index would lead to an undamaged pack of other files."""
    place.read()
    (first,) = place.index()
    time.sleep(0.02)
    (place.files / "0.png").write_bytes(saved(noise(seed=99), "PNG"))
    other = place.read()
    (second,) = set(place.index()) - {first}
    shutil.copy(place.cache / "index" / first, place.cache / "index" / second)
    assert same(other, place.read())
    assert place.did == [("hashing", 8)]


@pytest.mark.usefixtures("later")
def test_temporarily_unreadable_file_is_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pool.read_file

    def faulty(file: ImageFile, limit: int) -> bytes:
        return real(dataclasses.replace(file, path=file.path.replace("0.png", "gone")), limit)

    monkeypatch.setattr(pool, "read_file", faulty)
    found = place.read()
    assert ("0.png", "unreadable") in found.quarantined
    assert found.digests[0] == ""
    assert place.index() == []
    monkeypatch.undo()
    assert "0.png" in place.read().names


def test_read_only_cache_is_used_and_gives_a_warning_if_incomplete(open_path: Path) -> None:
    place = Place(open_path)
    module.RACY_NS, racy = -(10**18), module.RACY_NS
    try:
        cold = place.read()
        for path in [place.cache / "index", place.cache / "packs", place.cache, place.files]:
            path.chmod(0o555)

        def look() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warm = place.read()
            assert same(cold, warm)
            assert warm.source == "cache"
            with pytest.warns(UserWarning, match="cannot be written") as told:
                found = place.read(dataclasses.replace(RECIPE, size=9))
            assert found.pixels.shape == (6, 3, 9, 9)
            assert len(told) == 1
            with pytest.warns(UserWarning, match="cannot be written") as told:
                found = place.read(cache=place.cache / "new")
            assert same(cold, found)
            assert len(told) == 1

        assert passes(in_child(look, user=65534))
    finally:
        module.RACY_NS = racy


@pytest.mark.usefixtures("later")
def test_full_disk_disables_the_cache_but_images_are_read(place: Place) -> None:
    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        with pytest.warns(UserWarning, match="cannot be written") as told:
            found = place.read()
        assert found.pixels.shape == (6, 3, 8, 8)
        assert len(told) == 1

    assert passes(in_child(fill))
    assert list((place.cache / "packs").iterdir()) == []
    assert place.index() == []


@pytest.mark.usefixtures("later")
def test_cache_path_that_is_a_file_gives_a_warning(place: Place) -> None:
    place.cache.write_bytes(b"")
    with pytest.warns(UserWarning, match="cannot be written"):
        assert len(place.read().pixels) == 6


@pytest.mark.usefixtures("later")
def test_concurrent_builders_finish_with_equal_results_if_one_is_killed(place: Place) -> None:
    wanted = place.read(cache=place.cache.with_name("alone"))

    def build() -> None:
        assert same(wanted, place.read())

    def die() -> None:
        atomic_files.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        place.read()

    builders = [in_child(act) for act in (die, build, build, build)]
    assert [passes(builder) for builder in builders] == [False, True, True, True]
    (pack,) = (place.cache / "packs").glob("*.pack")
    (alone,) = (place.cache.with_name("alone") / "packs").glob("*.pack")
    assert pack.read_bytes() == alone.read_bytes()
    (place.files / "0.png").unlink()
    place.read()  # writes another pack, and cleans up after the dead
    assert not [name for name in os.listdir(place.cache / "packs") if name.endswith(".tmp")]


@pytest.mark.usefixtures("later")
def test_concurrent_builders_get_equal_results_and_leave_no_files(place: Place) -> None:
    """The processes do not wait: each decodes missing files, and the last one replaces equal bytes."""
    alone = place.cache.with_name("alone")
    wanted = place.read(cache=alone)
    held, let_go = os.pipe()

    def build() -> None:
        os.close(let_go)
        os.read(held, 1)  # until all are there
        found = place.read()
        assert same(wanted, found)
        assert same(wanted, place.read())

    builders = [in_child(build) for _ in range(64 if SOAK else 8)]
    os.close(let_go)
    os.close(held)
    assert [passes(builder) for builder in builders] == [True] * len(builders)
    assert content(place.cache) == content(alone)
    assert place.read().source == "cache"


def content(cache: Path) -> dict[str, bytes]:
    """Read every file, including hidden ones; of indexes, which contain times, only the names."""
    files = (path for path in cache.rglob("*") if path.is_file())
    return {str(path.relative_to(cache)): path.read_bytes() if path.suffix == ".pack" else b"" for path in files}
