"""Images inside tar and zip archives and Parquet: listing, reading, and damaged archives."""

import dataclasses
import io
import os
import random
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from semisup.errors import DataError
from semisup.images import archive, listing_cache, parquet_cells
from semisup.images.archive import is_archive, list_archives
from semisup.images.archive_listing import ArchiveListing
from semisup.images.archive_members import ArchivedImage, ParquetCell, ZipMember, in_storage_order
from semisup.images.cache import no_progress, read
from semisup.images.decode import BadImageError
from semisup.images.decode_settings import DecodeSettings
from semisup.images.pool import decode_files
from semisup.images.read_file import read_file
from tests.images.zoo import noise, saved

RECIPE = DecodeSettings(size=8, resize="stretch", draft=False, background=255, max_pixels=1_000_000)
IMAGES = {f"{folder}/{number}.png": saved(noise(9, 7), "PNG") for folder in ("a", "b") for number in range(3)}
LIMIT = 2**20


def tar(members: Iterable[tuple[str, bytes]], format_: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as archive:
        for name, data in members:
            archive.addfile(member(name, len(data)), io.BytesIO(data))
    return buffer.getvalue()


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, target
    return info


def zipped(members: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def listed(folder: Path, data: bytes, name: str = "archive") -> ArchiveListing:
    (folder / name).write_bytes(data)
    return list_archives([folder / name])


def contents(listing: ArchiveListing) -> dict[str, bytes]:
    return {image.name: read_file(image, LIMIT) for image in listing.images}


FORMS = {
    "ustar": lambda members: tar(members, tarfile.USTAR_FORMAT),
    "gnu": lambda members: tar(members, tarfile.GNU_FORMAT),
    "pax": tar,
    "deflated": zipped,
    "stored": lambda members: zipped(members, zipfile.ZIP_STORED),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_member_is_listed_and_read_in_place(form: str, tmp_path: Path) -> None:
    members = [*reversed(IMAGES.items()), ("a/note.txt", b"text"), ("./c/./0.png", IMAGES["a/0.png"])]
    listing = listed(tmp_path, FORMS[form](members))
    assert [image.name for image in listing.images] == sorted([*IMAGES, "c/0.png"])
    assert contents(listing) == IMAGES | {"c/0.png": IMAGES["a/0.png"]}
    assert listing.folders == {"a", "b", "c"}
    assert listing.ignored == {("a", ".txt"): 1}
    assert os.listdir(tmp_path) == ["archive"]


@pytest.mark.parametrize("form", ["gnu", "pax", "deflated"])
@pytest.mark.parametrize("name", ["é西/" + 60 * "long/" + "a.png", 300 * "x" + ".png", "a b/ü.png"])
def test_long_and_foreign_names_are_read(form: str, name: str, tmp_path: Path) -> None:
    assert contents(listed(tmp_path, FORMS[form]([(name, IMAGES["a/0.png"])]))) == {name: IMAGES["a/0.png"]}


def test_names_in_utf_8_without_the_flag_are_read(tmp_path: Path) -> None:
    data = zipped([("\u00fc.png", b"1")], zipfile.ZIP_STORED)
    unflagged = data.replace(struct.pack("<H", 0x800), struct.pack("<H", 0))
    assert [image.name for image in listed(tmp_path, unflagged).images] == ["ü.png"]


def test_backslashes_of_windows_are_slashes(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("a\\0.png")
        info.create_system = 0
        archive.writestr(info, b"1")
    assert [image.name for image in listed(tmp_path, buffer.getvalue()).images] == ["a/0.png"]


def test_links_devices_and_hidden_members_are_counted(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member("a/0.png", 3), io.BytesIO(b"abc"))
        archive.addfile(member("a/hard.png", 0, tarfile.LNKTYPE, "a/0.png"))
        archive.addfile(member("a/lost.png", 0, tarfile.LNKTYPE, "a/none.png"))
        archive.addfile(member("a/soft.png", 0, tarfile.SYMTYPE, "/etc/passwd"))
        archive.addfile(member("a/pipe.png", 0, tarfile.FIFOTYPE))
        archive.addfile(member("a/disk.png", 0, tarfile.BLKTYPE))
        archive.addfile(member("empty", 0, tarfile.DIRTYPE))
        archive.addfile(member("__MACOSX/._0.png", 1), io.BytesIO(b"x"))
        archive.addfile(member(".hidden/0.png", 1), io.BytesIO(b"x"))
    listing = listed(tmp_path, buffer.getvalue())
    assert contents(listing) == {"a/0.png": b"abc", "a/hard.png": b"abc"}
    counts = {
        ("a", "hard link to a missing member"): 1,
        ("a", "symlink"): 1,
        ("a", "not a regular file"): 2,
        ("", "hidden"): 2,
    }
    assert listing.ignored == counts
    assert listing.folders == {"a", "empty"}


def test_hard_link_is_treated_like_its_target(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(member("a/notes.txt", 3), io.BytesIO(b"abc"))
        archive.addfile(member("a/soft.png", 0, tarfile.SYMTYPE, "notes.txt"))
        archive.addfile(member(".hidden/0.png", 3), io.BytesIO(b"xyz"))
        for name, target in {
            "b/notes.md": "a/notes.txt",
            "b/notes.png": "a/notes.txt",  # the suffix decides, as for files in a folder
            "b/soft.png": "a/soft.png",
            "b/0.png": ".hidden/0.png",
            "b/lost.png": "a/none.png",
        }.items():
            archive.addfile(member(name, 0, tarfile.LNKTYPE, target))
    (tmp_path / "archive").write_bytes(buffer.getvalue())
    listing = list_archives([tmp_path / "archive"], keep_names=True)
    assert contents(listing) == {"b/notes.png": b"abc", "b/0.png": b"xyz"}
    assert listing.ignored_names == {
        "a/notes.txt": ".txt",
        "a/soft.png": "symlink",
        ".hidden/0.png": "hidden",
        "b/notes.md": ".md",
        "b/soft.png": "symlink",
        "b/lost.png": "hard link to a missing member",
    }
    assert sum(listing.ignored.values()) == 6


@pytest.mark.parametrize("form", FORMS)
def test_content_decides_about_other_suffixes(form: str, tmp_path: Path) -> None:
    image = IMAGES["a/0.png"]
    members = [
        ("a", image),
        ("b.dat", image),
        ("c.tga", saved(noise(9, 7), "TGA")),
        ("d.dat", b"no"),
        ("e.zip", b"PK\3\4"),
    ]
    listing = listed(tmp_path, FORMS[form](members))
    assert [each.name for each in listing.images] == ["a", "b.dat", "c.tga"]
    assert listing.ignored == {("", ".dat"): 1, ("", ".zip"): 1}


def test_a_zip_with_bytes_before_it_is_read(tmp_path: Path) -> None:
    assert contents(listed(tmp_path, b"#!/bin/sh\n" + zipped(IMAGES.items()), "a.zip")) == IMAGES


def test_archives_that_were_appended_to_each_other_are_read_as_one(tmp_path: Path) -> None:
    first, *others = IMAGES.items()
    assert contents(listed(tmp_path, tar([first]) + tar(others))) == IMAGES


def test_several_archives_are_one_folder_unless_names_collide(tmp_path: Path) -> None:
    first, *others = IMAGES.items()
    for name, members in (("0.tar", [first]), ("1.tar", others), ("2.tar", others)):
        (tmp_path / name).write_bytes(tar(members))
    paths = [tmp_path / f"{number}.tar" for number in range(3)]
    assert contents(list_archives(paths[:2])) == IMAGES
    collided = contents(list_archives(paths))
    assert collided == {f"0.tar/{first[0]}": first[1]} | {
        f"{n}.tar/{name}": data for n in "12" for name, data in others
    }


# Refused archives ---------------------------------------------------------------------------------------------------

SOME = list(IMAGES.items())


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tar", tar([("../x.png", b"1")]), r"the name ../x.png leads outside the archive"),
        ("a.tar", tar([("/x.png", b"1")]), "the name /x.png leads outside"),
        ("a.zip", zipped([("a/../../x.png", b"1")]), "leads outside"),
        ("a.tar", tar([*SOME, SOME[0]]), "contains two files with the name a/0.png"),
        ("a.tar", tar(SOME)[:1024], "is truncated"),
        ("a.tar", tar(SOME)[: 1024 + 700], "is truncated"),
        ("a.tar", tar(SOME)[:2048], "is truncated: it has no end mark"),
        ("a.tar", b"", "is truncated"),
        ("a.tar", b"no archive" * 100, "is damaged: the header at byte 0"),
        ("a.tar", tar(SOME)[:1024] + b"x" * 512 + tar(SOME)[1536:], "the header at byte 1024 has a wrong checksum"),
        ("a.zip", zipped(SOME)[:-30], "is truncated or damaged"),
        ("a.zip", zipped(SOME)[:100], "is truncated or damaged"),
        ("a.zip", b"", "is truncated or damaged"),
        ("a.zip", zipped(SOME, zipfile.ZIP_BZIP2), "is compressed by the method bzip2, which is not supported"),
        ("a.tar.gz", b"\x1f\x8b\x08", "not read in place; type gunzip -k .*/a.tar.gz and then use .*/a.tar$"),
        ("a.tbz2", b"BZh91AY", "type bunzip2 -k .*/a.tbz2 and then use .*/a.tar$"),
        ("a.tar", b"\xfd7zXZ", "type unxz -c < .*/a.tar > .*/a-unpacked.tar and then use .*/a-unpacked.tar$"),
    ],
    ids=range(17),  # the bytes contain the time, and two processes of tests must collect equal names
)  # fmt: skip
def test_a_bad_archive_is_refused_in_one_line(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert is_archive(tmp_path / name)
    with pytest.raises(DataError, match=f"/{name}: .*{message}") as error:
        list_archives([tmp_path / name])
    assert "\n" not in str(error.value)


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(SOME))
    central = data.index(b"PK\1\2")
    data[central + 8] |= 1
    with pytest.raises(DataError, match=r"is encrypted \(a/0.png\); unpack it with its password"):
        listed(tmp_path, bytes(data), "a.zip")


# Damaged members ----------------------------------------------------------------------------------------------------


def reason(image: ArchivedImage, limit: int = LIMIT) -> str:
    with pytest.raises(BadImageError) as error:
        read_file(image, limit)
    return error.value.reason


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    listing = listed(tmp_path, zipped([("bomb.png", bytes(2**24))]))
    (image,) = listing.images
    assert isinstance(image, ZipMember)
    tracemalloc.start()
    assert reason(image) == "too large"
    lying = dataclasses.replace(image, bytes_=100, crc=zlib.crc32(bytes(100)))
    assert reason(lying) == "corrupt"
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_damaged_members_have_reasons(tmp_path: Path) -> None:
    data = zipped(SOME, zipfile.ZIP_STORED)
    (image, *_) = listed(tmp_path, data).images
    (tmp_path / "archive").write_bytes(data.replace(IMAGES["a/0.png"], bytes(len(IMAGES["a/0.png"]))))
    status = os.stat(tmp_path / "archive")
    same = dataclasses.replace(image, mtime_ns=status.st_mtime_ns, inode=status.st_ino)
    assert reason(same) == "corrupt"
    assert reason(dataclasses.replace(same, position=1)) == "corrupt"
    assert reason(dataclasses.replace(same, position=10**9)) == "truncated"
    assert reason(dataclasses.replace(same, mtime_ns=0)) == "unreadable"
    (tmp_path / "archive").unlink()
    assert reason(same) == "unreadable"


@pytest.mark.parametrize("form", ["gnu", "pax", "deflated", "stored"])
def test_mutated_archives_are_refused_or_read_and_nothing_else_happens(form: str, tmp_path: Path) -> None:
    """Every mutant gives a DataError of one line, or members that are read or have a reason, in bounded time."""
    original, draw = FORMS[form]([*SOME[:3], ("long/" * 30 + "a.png", SOME[0][1])]), random.Random(7)
    refused: list[str] = []
    intact = 0
    for _ in range(150):
        data = bytearray(original)
        for _ in range(draw.choice((1, 1, 2, 8))):
            data[draw.randrange(len(data))] = draw.choice((0, 1, 0x20, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        if draw.random() < 0.2:
            del data[draw.randrange(len(data)) :]
        started = time.monotonic()
        try:
            listing = listed(tmp_path, bytes(data), "a.zip" if form in ("deflated", "stored") else "a.tar")
        except DataError as error:
            refused.append(str(error))
            continue
        for image in listing.images:
            try:
                assert len(read_file(image, LIMIT)) <= LIMIT
                intact += 1
            except BadImageError:
                pass
        assert time.monotonic() - started < 5
        assert len(os.listdir(tmp_path)) == 1
    assert len(refused) > 20
    assert "\n" not in "".join(refused)
    assert intact > 20


# Parquet --------------------------------------------------------------------------------------------------------------


def cells(path: Path, values: list[bytes | None], *, struct_: bool = True, **settings: object) -> list[ParquetCell]:
    column = [None if value is None else {"bytes": value, "path": None} for value in values] if struct_ else values
    type_ = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}) if struct_ else pyarrow.binary()
    parquet.write_table(pyarrow.table({"image": pyarrow.array(column, type_)}), path, **settings)
    status, name = os.stat(path), "image.bytes" if struct_ else "image"
    shared = status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
    return [ParquetCell(os.fspath(path), str(row), 9, *shared, row, name) for row in range(len(values))]


@pytest.mark.parametrize("largest", [2**26, 0], ids=["whole groups", "streamed"])
@pytest.mark.parametrize("struct_", [True, False])
def test_cells_are_read_in_any_order(
    largest: int, struct_: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_cells, "MAX_GROUP_BYTES", largest)
    values = [bytes([number]) * (number + 1) for number in range(50)]
    images = cells(tmp_path / "x.parquet", list(values), struct_=struct_, row_group_size=20)
    order = [*range(50), *random.Random(1).sample(range(50), 50)]
    assert [read_file(images[row], LIMIT) for row in order] == [values[row] for row in order]


def test_bad_cells_have_reasons(tmp_path: Path) -> None:
    images = cells(tmp_path / "x.parquet", [b"abc", None])
    assert reason(images[0], 2) == "too large"
    assert reason(images[1]) == "unreadable"
    assert reason(dataclasses.replace(images[0], position=7)) == "corrupt"
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    data[4:40] = bytes(36)
    (tmp_path / "x.parquet").write_bytes(data)
    status = os.stat(tmp_path / "x.parquet")
    changed = dataclasses.replace(images[0], mtime_ns=status.st_mtime_ns, inode=status.st_ino)
    assert reason(images[0]) == "unreadable"
    assert reason(changed) == "corrupt"
    (tmp_path / "x.parquet").unlink()
    assert reason(dataclasses.replace(changed, name="gone", inode=1)) == "unreadable"


def test_a_cell_that_fills_many_rows_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stores one value of 100 kB in a dictionary; its 2000 rows would need 200 MB."""
    monkeypatch.setattr(parquet_cells, "MAX_GROUP_BYTES", 2**20)
    value = bytes(100_000)
    images = cells(tmp_path / "x.parquet", [value] * 2000, struct_=False)
    assert os.path.getsize(tmp_path / "x.parquet") < 2**18
    before = pyarrow.total_allocated_bytes()
    assert read_file(images[1999], LIMIT) == read_file(images[7], LIMIT) == value
    ((_, column),) = parquet_cells._open.items()
    assert column.large == {0}
    assert pyarrow.total_allocated_bytes() - before < 2**23
    assert column._whole(0) is None


def test_a_group_with_fewer_rows_than_declared_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_cells, "MAX_GROUP_BYTES", 0)
    images = cells(tmp_path / "x.parquet", [b"abc"] * 3)
    monkeypatch.setattr(parquet_cells._Column, "_batches", lambda self, group: iter(()))
    assert reason(images[1]) == "unreadable"


def test_columns_of_one_parquet_file_have_keys_of_their_own(tmp_path: Path) -> None:
    (image,) = cells(tmp_path / "x.parquet", [b"abc"])
    assert image.content_key() != dataclasses.replace(image, column="mask").content_key()


# Decoding and the cache ----------------------------------------------------------------------------------------------


def test_processes_decode_members_as_files(tmp_path: Path) -> None:
    several = {f"{number:02d}.png": saved(noise(90, 80), "PNG") for number in range(24)}
    images = {
        "tar": list(listed(tmp_path, tar(several.items()), "a.tar").images),
        "zip": list(listed(tmp_path, zipped(several.items()), "a.zip").images),
        "parquet": cells(tmp_path / "a.parquet", list(several.values())),
    }
    expected = None
    for files in images.values():
        alone = [result.sha256 for result in decode_files(files, RECIPE, 1)]
        assert [result.sha256 for result in decode_files(files, RECIPE, 2)] == alone
        assert all(result.pixels is not None for result in decode_files(files, RECIPE, 1))
        assert (expected := expected or alone) == alone


def test_the_cache_notices_a_changed_archive(tmp_path: Path) -> None:
    images = listed(tmp_path, tar(IMAGES.items())).images
    first = read(images, RECIPE, tmp_path / "cache", 1, no_progress)
    assert read(images, RECIPE, tmp_path / "cache", 1, no_progress).source == "cache"
    others = [(name, saved(noise(5, 5), "PNG")) for name in IMAGES]
    changed = listed(tmp_path, tar(others)).images
    second = read(changed, RECIPE, tmp_path / "cache", 1, no_progress)
    assert second.source == "files"
    assert first.digests != second.digests


def test_members_are_sorted_by_their_positions(tmp_path: Path) -> None:
    images = listed(tmp_path, tar(reversed(IMAGES.items()))).images
    assert [image.name for image in in_storage_order(images)] == sorted(IMAGES, reverse=True)


# Stored listings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.tar", "a.zip"])
def test_stored_listing_is_the_listing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = tmp_path / name, tmp_path / "cache"
    members = [*SOME, ("a/table.csv", b"file,class\n"), ("a/notes.txt", b"text"), ("__MACOSX/x", b"x")]
    path.write_bytes(tar(members) if name == "a.tar" else zipped(members))
    expected = list_archives([path])
    assert list_archives([path], cache=cache) == expected
    assert not cache.exists(), "an archive that is so new may change without other times"
    monkeypatch.setattr(listing_cache, "MIN_AGE_SECONDS", -1)
    assert list_archives([path], cache=cache) == expected
    (stored,) = (cache / "listings").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(archive, "_list_archive", None)  # so that it cannot be called
        assert list_archives([path], cache=cache) == expected
    stored.write_bytes(stored.read_bytes()[:-1])
    assert list_archives([path], cache=cache) == expected, "a damaged file is not used"
    path.write_bytes(tar(SOME[:1]) if name == "a.tar" else zipped(SOME[:1]))
    assert len(list_archives([path], cache=cache).images) == 1


def test_cache_that_cannot_be_written_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing_cache, "MIN_AGE_SECONDS", -1)
    path = tmp_path / "a.tar"
    path.write_bytes(tar(SOME))
    (tmp_path / "cache").write_bytes(b"a file")
    assert list_archives([path], cache=tmp_path / "cache") == list_archives([path])
