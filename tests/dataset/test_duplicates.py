"""Test duplicate images in two splits or classes: they are found in any file format and reported or refused."""

import json
import shutil
import tracemalloc
import warnings
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from semisup.core.types import Images
from semisup.dataset import SPLITS, Data
from semisup.errors import DataError, SettingError
from semisup.images import duplicates
from semisup.images.duplicates import FLAT, MOST_BITS, MOST_LEVELS, ON_DUPLICATE, Duplicates, find_duplicates
from tests.conftest import checked
from tests.dataset import settings, watch
from tests.dataset.formats import ARRAYS
from tests.images.zoo import noise

SAID = {"leaks": 0, "two_classes": 0, "repeats": 0, "near": 0}


def photograph(seed: int) -> Image.Image:
    """Create a smooth image, like a photograph: another size or encoding changes it only a little."""
    return noise(8, 6, seed).resize((96, 72), Image.Resampling.BICUBIC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder with 4 labeled, 2 validation, 2 test images of two classes and 4 unlabeled ones, all different."""
    places = [f"training/labeled/{name}/{image}" for name in "ab" for image in range(4)]
    places += [f"{part}/{name}/{image}" for part in ("validation", "testing") for name in "ab" for image in range(2)]
    places += [f"training/unlabeled/{image}" for image in range(4)]
    for seed, place in enumerate(places):
        path = tmp_path / "photos" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(seed).save(path)
    return tmp_path / "photos"


def read(root: Path, *overrides: str) -> Data:
    fixed = [f"dataset.root={root}", "dataset.size=32", "dataset.workers=1", "dataset.cache=null"]
    dataset = settings("folder", *fixed, *overrides)
    return dataset.read(dataset.inspect(), watch)


def counts(data: Data) -> dict[str, int]:
    assert json.loads(json.dumps(data.report)) == data.report
    return dict(data.report["duplicates"]["counts"])


def test_different_images_are_no_duplicates(root: Path) -> None:
    assert counts(read(root)) == SAID


@pytest.mark.parametrize("how", ["copied", "renamed format", "another format", "other metadata"])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("training/labeled/a/0.png", "validation/a/copy"),
        ("training/labeled/a/0.png", "testing/a/copy"),
        ("training/unlabeled/0.png", "validation/a/copy"),
        ("training/unlabeled/0.png", "testing/a/copy"),
        ("validation/a/0.png", "testing/a/copy"),
    ],
)
def test_training_image_that_is_also_an_evaluation_image_is_refused(root: Path, one: str, other: str, how: str) -> None:
    source = root / one
    if how in ("copied", "renamed format"):
        copy = root / f"{other}.{'png' if how == 'copied' else 'jpg'}"
        shutil.copy(source, copy)
    else:
        copy = root / f"{other}.{'bmp' if how == 'another format' else 'png'}"
        Image.open(source).save(copy, **({} if how == "another format" else {"dpi": (99, 99)}))
    names = (one, str(copy.relative_to(root)))
    with pytest.raises(
        DataError, match=r"^1 image\(s\) in several of .* keep one of each, or continue with dataset\.on_duplicate=warn"
    ) as told:
        read(root)
    assert all(name in str(told.value) for name in names)
    with pytest.warns(UserWarning, match=r"^1 image\(s\) in several of .* see data_report\.json$"):
        data = read(root, "dataset.on_duplicate=warn")
    assert counts(data) == SAID | {"leaks": 1}
    (group,) = data.report["duplicates"]["leaks"]
    assert {member["path"] for member in group} == set(names)
    assert len({member["split"] for member in group}) == 2
    quiet = read(root, "dataset.on_duplicate=ignore")
    assert "duplicates" not in quiet.report
    assert quiet.fingerprint == data.fingerprint
    assert torch.equal(quiet.labeled.pixels, data.labeled.pixels)


@pytest.mark.parametrize("part", ["training/labeled", "validation", "testing"])
def test_image_in_two_classes_is_refused(root: Path, part: str) -> None:
    shutil.copy(root / part / "a/0.png", root / part / "b/copy.png")
    with pytest.raises(DataError, match=rf"^1 image\(s\) in two classes \({part}/a/0\.png = {part}/b/copy\.png\)"):
        read(root)
    with pytest.warns(UserWarning, match="in two classes"):
        data = read(root, "dataset.on_duplicate=warn")
    assert counts(data) == SAID | {"two_classes": 1}
    assert [member["class"] for member in data.report["duplicates"]["two_classes"][0]] == ["a", "b"]


def test_harmless_duplicates_are_listed_without_a_warning(root: Path) -> None:
    shutil.copy(root / "training/labeled/a/0.png", root / "training/unlabeled/copy.png")
    shutil.copy(root / "training/labeled/a/1.png", root / "training/labeled/a/copy.png")
    shutil.copy(root / "training/unlabeled/1.png", root / "training/unlabeled/again.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = read(root)
    assert counts(data) == SAID | {"repeats": 3}
    assert data.report["duplicates"]["repeats"][0][1] == {
        "split": "unlabeled", "path": "training/unlabeled/copy.png", "class": None,
    }  # fmt: skip


@pytest.mark.parametrize("how", ["jpeg", "larger", "one row less", "a little brighter"])
def test_near_duplicates_give_a_warning(root: Path, how: str) -> None:
    image = photograph(0)
    changed = {
        "jpeg": image,
        "larger": image.resize((200, 150), Image.Resampling.BILINEAR),
        "one row less": image.crop((0, 0, 96, 71)),
        "a little brighter": image.point(lambda value: min(255, value + 2)),
    }[how]
    changed.save(root / "testing/a/near.jpg", quality=80)
    with pytest.warns(
        UserWarning,
        match=r"^1 pair\(s\) of near duplicates in different splits or classes \(testing/a/near"
        r"|^1 pair\(s\) .*labeled/a/0",
    ):
        data = read(root)
    assert counts(data) == SAID | {"near": 1}
    pair = {member["path"] for member in data.report["duplicates"]["near"][0]}
    assert pair == {"training/labeled/a/0.png", "testing/a/near.jpg"}


def test_duplicate_handling_does_not_change_the_run_id() -> None:
    words = ("dataset=folder", "dataset.root=x")
    assert len({checked(*words, f"dataset.on_duplicate={each}").id for each in ON_DUPLICATE}) == 1


PUBLISHED = ("food11", "eurosat", "food101", *ARRAYS)


@pytest.mark.parametrize(("name", "then"), [("folder", "error"), *((name, "warn") for name in PUBLISHED)])
def test_published_splits_are_used_unchanged(name: str, then: str) -> None:
    chosen = settings(name, "dataset.root=x")
    assert chosen.on_duplicate == then  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match=r"^dataset\.on_duplicate=stop: must be one of error, ignore, warn"):
        settings(name, "dataset.root=x", "dataset.on_duplicate=stop")


# Numbers --------------------------------------------------------------------------------------------------------------


def made(count: int, seed: int) -> dict[str, Images]:
    """Create images of 144 x 144 pixels: copies of ten images with different amounts of noise."""
    draw = numpy.random.default_rng(seed)
    plain = numpy.kron(draw.integers(0, 256, (10, 1, 8, 9)), numpy.ones((18, 16)))
    pixels = plain[draw.integers(0, 10, count)]
    pixels[0] = 7  # shows nothing
    cells = numpy.kron(draw.normal(size=(count, 1, 16, 16)), numpy.ones((9, 9)))
    pixels = pixels + cells * draw.choice([0, 1, 3, 6, 9], count)[:, None, None, None]
    pixels = numpy.clip(numpy.rint(pixels), 0, 255).astype(numpy.uint8).repeat(3, 1)
    splits = draw.integers(0, 4, count)
    targets = numpy.where(splits == 1, -1, draw.integers(0, 2, count))
    return {
        split: Images(
            torch.from_numpy(pixels[splits == number]),
            torch.from_numpy(targets[splits == number]),
            [f"{split}/{row}" for row in numpy.flatnonzero(splits == number)],
        )
        for number, split in enumerate(SPLITS)
    }


def slowly(images: dict[str, Images]) -> tuple[set[frozenset[str]], set[frozenset[str]]]:
    """Find groups of equal images and forbidden pairs of near duplicates slowly, by the definition."""
    rows = []
    for split in SPLITS:
        for path, pixels, target in zip(images[split].paths, images[split].pixels, images[split].targets, strict=True):
            gray = pixels.double().mean(0).numpy()
            bits = numpy.diff(gray.reshape(8, 18, 9, 16).mean((1, 3)), axis=1) > 0
            means = numpy.rint(gray.reshape(16, 9, 16, 9).mean((1, 3)))
            rows.append((split, path, int(target), bits, means, pixels.numpy().tobytes()))
    equal: dict[bytes, list[str]] = {}
    for row in rows:
        equal.setdefault(row[5], []).append(row[1])
    near = set()
    for one in rows:
        for other in rows:
            apart = len({one[0], other[0]}) == 2 and {one[0], other[0]} != {"labeled", "unlabeled"}
            differ = -1 not in (one[2], other[2]) and one[2] != other[2]
            alike = (one[3] != other[3]).sum() <= MOST_BITS and numpy.abs(one[4] - other[4]).mean() <= MOST_LEVELS
            shows = min(numpy.ptp(one[4]), numpy.ptp(other[4])) >= FLAT
            if one[5] != other[5] and (apart or differ) and alike and shows:
                near.add(frozenset([one[1], other[1]]))
    return {frozenset(names) for names in equal.values() if len(names) > 1}, near


@pytest.mark.parametrize("seed", range(3))
def test_duplicates_match_a_slow_reference_search(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK", 7)
    monkeypatch.setattr(duplicates, "_PRODUCT", (2**24, 400, 7)[seed])
    monkeypatch.setattr(duplicates, "_CHUNK_BYTES", 2**20)
    images = made(120, seed)
    equal, near = slowly(images)
    found = find_duplicates(images)
    groups = [*found.leaks, *found.two_classes, *found.repeats]
    assert {frozenset(member.name for member in group) for group in groups} == equal
    assert all(len({member.split for member in group}) > 1 for group in found.leaks)
    pairs = [frozenset(member.name for member in pair) for pair in found.near]
    assert len(pairs) == len(set(pairs))
    first_of = {name: min(names) for names in equal for name in names}
    as_first = lambda pairs: {frozenset(first_of.get(name, name) for name in pair) for pair in pairs}  # noqa: E731
    assert as_first(pairs) <= as_first(near)
    lonely = {pair for pair in near if not any(name in first_of for name in pair)}
    assert lonely <= set(pairs)
    assert len(equal) >= 3
    assert len(lonely) > 10
    monkeypatch.setattr(duplicates, "MOST_PAIRS", 4)
    assert find_duplicates(images).near == found.near[:4]


def test_duplicates_are_cached_and_damaged_cache_entries_are_ignored(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        shutil.copy(root / f"training/labeled/a/{number}.png", root / f"training/labeled/a/copy {number}.png")
    searched: list[int] = []
    search = lambda images: searched.append(1) or find_duplicates(images)  # noqa: E731
    monkeypatch.setattr("semisup.dataset._image_files.find_duplicates", search)
    cached = f"dataset.cache={tmp_path / 'cache'}"
    first = read(root, cached)
    assert read(root, cached).report == first.report == read(root).report
    assert len(searched) == 2, "and once where there is no cache"
    (path,) = (tmp_path / "cache" / "duplicates").iterdir()
    whole = path.read_bytes()
    for damaged in (
        b"",
        whole[:-1],
        whole[:70] + b"x" + whole[71:],
        whole.replace(b"copy 1", b"copy 9"),
        b"[]",
        b"\n[]",
    ):
        path.write_bytes(damaged)
        searched.clear()
        assert read(root, cached).report == first.report
        assert searched == [1]
        assert path.read_bytes() == whole
    (root / "training/labeled/a/copy 0.png").unlink()
    assert counts(read(root, cached)) == SAID | {"repeats": 2}
    searched.clear()
    assert counts(read(root, cached, "dataset.size=33")) == SAID | {"repeats": 2}
    assert searched == [1], "other pixels"
    shutil.rmtree(tmp_path / "cache" / "duplicates")
    (tmp_path / "cache" / "duplicates").write_bytes(b"in the way")
    assert counts(read(root, cached)) == SAID | {"repeats": 2}


def test_many_equal_images_are_counted_without_storing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    blank, count = torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 20_000
    pool = Images(blank.expand(count, 3, 8, 8), torch.full((count,), -1), [f"{row:05d}" for row in range(count)])
    labeled = Images(blank.expand(200, 3, 8, 8), torch.zeros(200, dtype=torch.int64), ["labeled"] * 200)
    pixels = torch.arange(256, dtype=torch.uint8).repeat_interleave(2)[:, None, None, None].expand(512, 3, 8, 8)
    pairs = Images(pixels, torch.ones(512, dtype=torch.int64), [f"validation/{row}" for row in range(512)])
    monkeypatch.setattr(duplicates, "MOST_LISTED", 50)
    tracemalloc.start()
    found = find_duplicates({"labeled": labeled, "validation": pairs, "test": labeled, "unlabeled": pool})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.counts == SAID | {"leaks": 1, "two_classes": 1, "repeats": 255}
    assert (len(found.repeats), len(found.near)) == (50, 0)
    (leak,) = found.leaks
    assert len(leak) < 110
    assert {member.split for member in leak} == set(SPLITS), "those that are beyond the first are what is wrong"
    assert peak < 150 * count, "bytes an image"


def test_empty_set_has_no_duplicates() -> None:
    empty = Images(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), [])
    assert find_duplicates(dict.fromkeys(SPLITS, empty)) == Duplicates(SAID, [], [], [], [])
