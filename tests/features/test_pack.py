"""Packs of features: what a row depends on, growth, interruption, damage, several processes."""

import dataclasses
import errno
import hashlib
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from semisup.augment.randaugment import RandAugment
from semisup.config.registry import settings_class
from semisup.core.types import Images
from semisup.encoder import encode_batch
from semisup.features import (
    EncodedImages,
    EncodingJob,
    FeaturePack,
    FeatureTable,
    PackRecipe,
    StoredViews,
    encode_missing,
    image_digests,
    store,
)
from semisup.model.linear import UnitLength
from tests.conftest import options, toy_images
from tests.encoder.toy import TRANSFORMER, toy_encoder, toy_weights

AUGMENT = RandAugment(0.5, 2, 0.5, True, 0.125)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_weights(tmp_path_factory.mktemp("weights") / "toy.pth")


def silent(items: Iterable[Any], description: str, total: int, /) -> Iterable[Any]:
    return items


def recipe(weights: Path, augment: Any = AUGMENT, **settings: Any) -> PackRecipe:
    return PackRecipe(toy_encoder(weights, **settings), augment, (1, 8, 8), torch.device("cpu"))


def subset(images: Images, rows: list[int]) -> Images:
    return Images(images.pixels[torch.tensor(rows)], images.targets[rows], [images.paths[row] for row in rows])


def encoded(cache: Path | None, of: PackRecipe, images: Images) -> FeaturePack:
    pack = FeaturePack(cache, of)
    encode_missing(of.encoder.build, EncodingJob(pack, [images], image_digests(images)), silent)
    return pack


def features(pack: FeaturePack, images: Images) -> torch.Tensor:
    """Read the features of images from a pack, as (n, K, D) in the order of the images."""
    table = FeatureTable([pack], image_digests(images), torch.device("cpu"), resident=True)
    return table.values.view(len(images), *pack.shape)


@pytest.mark.parametrize("architecture", ["test_efficientnet", TRANSFORMER])
def test_row_does_not_depend_on_its_place_in_a_batch_on_neighbors_or_on_padding(
    architecture: str, tmp_path: Path
) -> None:
    encoder = toy_encoder(toy_weights(tmp_path / "w.pth", architecture), architecture=architecture, batch=5)
    network, generator = encoder.build(), torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 16, 16, generator=generator)
    alone = encode_batch(network, image, 5)[0]
    assert float(alone.float().std()) > 0
    for place in range(5):
        others = torch.rand(5, 3, 16, 16, generator=generator)
        others[place] = image[0]
        assert torch.equal(encode_batch(network, others, 5)[place], alone)
        padded = others[: place + 1]
        assert torch.equal(encode_batch(network, padded, 5)[place], alone)


def test_grown_pack_equals_a_fresh_one_row_by_row(weights: Path, tmp_path: Path) -> None:
    images, of = toy_images(11, 3), recipe(weights)
    encoded(tmp_path / "grown", of, subset(images, [2, 0, 7]))
    grown = encoded(tmp_path / "grown", of, images)
    fresh = encoded(tmp_path / "fresh", of, subset(images, [*range(10, -1, -1)]))
    assert torch.equal(features(grown, images), features(fresh, images))
    digests = image_digests(images)
    assert grown.digest(digests) == fresh.digest(digests)
    assert len(grown.segments) == 2


def test_pack_that_is_whole_builds_no_network(weights: Path, tmp_path: Path) -> None:
    images, of = toy_images(5, 3), recipe(weights)
    encoded(tmp_path, of, images)
    again = FeaturePack(tmp_path, of)
    encode_missing(
        lambda: pytest.fail("nothing is missing"), EncodingJob(again, [images], image_digests(images)), silent
    )
    assert torch.equal(features(again, images), features(encoded(None, of, images), images))


def test_views_differ_and_follow_the_view_seed(weights: Path) -> None:
    images = toy_images(4, 2)
    rows = features(encoded(None, recipe(weights), images), images)
    other = features(encoded(None, recipe(weights, view_seed=1), images), images)
    plain = features(encoded(None, recipe(weights, None), images), images)
    assert not torch.equal(rows[:, 0], rows[:, 1])
    assert not torch.equal(rows, other)
    assert plain.shape[1] == 1
    more = features(encoded(None, recipe(weights, views=3), images), images)
    assert torch.equal(more[:, :2], rows), "a view depends on its number, and not on how many there are"


def test_equal_images_share_a_row(weights: Path) -> None:
    images = toy_images(3, 3)
    twice = Images(torch.cat((images.pixels, images.pixels)), images.targets.repeat(2), images.paths * 2)
    pack = encoded(None, recipe(weights), twice)
    assert len(pack) == 3
    assert torch.equal(features(pack, twice)[:3], features(pack, twice)[3:])


@pytest.mark.parametrize(
    "change",
    [{"views": 3}, {"view_seed": 1}, {"batch": 5}, {"precision": "bfloat16"}, {"input_size": 40}, {"sha256": "0" * 64}],
)
def test_key_changes_with_everything_that_can_change_a_bit(weights: Path, change: dict[str, Any]) -> None:
    base = recipe(weights)
    other = dataclasses.replace(base, encoder=dataclasses.replace(base.encoder, **change))  # type: ignore[type-var]
    assert other.key() != base.key()


def test_key_ignores_where_files_are_and_of_plain_images_the_views(weights: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.pth"
    moved.write_bytes(weights.read_bytes())
    assert recipe(moved, cache=str(tmp_path)).key() == recipe(weights).key()
    assert recipe(weights, None, views=7, view_seed=3).key() == recipe(weights, None).key()
    stronger = dataclasses.replace(AUGMENT, strength=0.25)
    assert len({recipe(weights, each).key() for each in (None, AUGMENT, stronger)}) == 3
    shape = dataclasses.replace(recipe(weights), shape=(1, 9, 9))
    assert shape.key() != recipe(weights).key()


def test_key_changes_with_instruction_set_versions_and_code(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from semisup.features import recipe as module

    keys = {recipe(weights).key()}
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ANOTHER")
    keys.add(recipe(weights).key())
    monkeypatch.setattr(module, "package_version", lambda package: "0")
    keys.add(recipe(weights).key())
    monkeypatch.setattr(module, "_source_digest", lambda encoder: "0")
    keys.add(recipe(weights).key())
    assert len(keys) == 4


CANNOT_CHANGE_A_FEATURE = (
    "semisup.errors",
    "semisup.text",
    "semisup.core.added_setting",  # of the run id
    "semisup.core.device",  # where tensors are
    "semisup.core.types",
    "semisup.features.recipe",  # whose output is the key
    "semisup.features.store",  # checked by digests
    "semisup.images",  # a row is found by the digest of the decoded pixels
    "semisup.record.environment",
    "semisup.runtime.lite_wheels",  # where the weights are; their digest is in the key
    "semisup.runtime.memory_limit",
    "semisup.runtime.meta_network",  # sizes
    "semisup.runtime.precision",  # resolves `precision: auto`, which is in the key
    "semisup.runtime.torchvision_compat",  # part of timm's import
)
ENCODERS = [name for name in options("encoder") if name not in ("none", "concatenated")]


@pytest.mark.parametrize("name", ENCODERS)
def test_key_covers_every_module_that_the_encoding_imports(name: str) -> None:
    from semisup.features.recipe import source_modules
    from tests.test_architecture import FILES, imports, module_of

    sources = tuple(source_modules(settings_class("encoder", name)))
    paths = {module_of(path).removesuffix(".__init__"): path for path in FILES}

    def covered(module: str) -> bool:
        return any(module == name or module.startswith(f"{name}.") for name in sources)

    def harmless(module: str) -> bool:
        interfaces = module == "semisup.encoder"  # only its __init__.py
        return interfaces or any(f"{module}.".startswith(f"{each}.") for each in CANNOT_CHANGE_A_FEATURE)

    waiting = [module for module in paths if covered(module)]
    assert len(waiting) > len(sources)
    for module in waiting:  # grows
        for imported in imports(paths[module]):
            if imported in paths and imported not in waiting and not harmless(imported):
                waiting.append(imported)
    assert [module for module in waiting if not covered(module)] == []


def test_key_does_not_depend_on_the_modules_of_other_encoders() -> None:
    from semisup.features.recipe import source_modules

    assert len(ENCODERS) > 2
    for name in ENCODERS:
        modules = source_modules(settings_class("encoder", name))
        assert f"semisup.encoder.{name}" in modules
        others = {f"semisup.encoder.{other}" for other in (*ENCODERS, "concatenated") if other != name}
        assert not others & {*modules}
        assert "semisup.encoder" not in modules, "the whole package"


def test_key_ignores_comments_and_docstrings_but_no_statement() -> None:
    from semisup.features.recipe import statements

    code = '"""Module."""\nclass A:\n    """Class."""\n    def f():\n        """Function."""\n        return 1  # one\n'
    reworded = code.replace("Module", "A module").replace("Class", "A class").replace("Function", "A function")
    assert statements(code) == statements(reworded.replace("# one", "# the only value"))
    assert statements(code) != statements(code.replace("return 1", "return 2"))
    assert statements('x = "text"') != statements('x = "other text"')


SOURCE = '''"""Module é."""

# A comment.
NAMES = ("a#b", 'é',)   # é is a letter
"""Attribute
docstring."""


class A:
    """Class."""  # noqa

    async def f(self, x: int) -> str:
        """Function,

        two paragraphs."""
        text = """first__

# no comment
last"""  # comment

        return f"é {x!r:>{x}} {'é'} # {text}" + (
            "one"  # comment
            # comment
            'two'
        )

    def g(self): "é"; return f"""{self}__

    {self.f(
        1
    )}"""
'''.replace("_" * 2, " " * 2)
STATEMENTS = '''NAMES = ("a#b", 'é',)
class A:
    async def f(self, x: int) -> str:
        text = """first__

# no comment
last"""
        return f"é {x!r:>{x}} {'é'} # {text}" + (
            "one"
            'two'
        )
    def g(self): ; return f"""{self}__

    {self.f(
        1
    )}"""'''.replace("_" * 2, " " * 2)


def test_source_without_comments_and_docstrings_does_not_depend_on_the_version_of_python() -> None:
    from semisup.features.recipe import statements

    assert statements(SOURCE) == STATEMENTS
    digest = hashlib.sha256(statements(SOURCE).encode()).hexdigest()
    assert digest == "cd666fb67a467dfe5a92ecbfcf0b19f34ddd47e37217037f5d7119f43c74dd84"  # Python 3.11, 3.12 and 3.13


def test_longer_docstrings_comments_and_blank_lines_do_not_change_the_key() -> None:
    from semisup.features.recipe import statements

    longer = SOURCE.replace("Function,", "Function\n\n        of").replace("# A comment.", "# A\n\n# comment.")
    longer = longer.replace("# noqa", "").replace("            # comment\n", "            # a\n            # b\n")
    assert statements(longer) == STATEMENTS
    assert statements(SOURCE.replace("# no comment", "# no")) != STATEMENTS, "in a string that is a value"
    assert statements(SOURCE.replace("first  ", "first")) != STATEMENTS


@pytest.mark.parametrize("damage", ["bit", "truncated", "header", "empty"])
def test_damaged_file_is_encoded_again_with_a_warning(weights: Path, tmp_path: Path, damage: str) -> None:
    images, of = toy_images(6, 3), recipe(weights)
    before = features(encoded(tmp_path, of, images), images).clone()
    (path,) = (tmp_path / "features").rglob("*.rows")
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[-5] ^= 1
    elif damage == "header":
        content[60] ^= 1
    path.write_bytes({"truncated": content[:-100], "empty": b""}.get(damage, content))
    with pytest.warns(UserWarning, match="is damaged or belongs to another encoder; its images"):
        again = encoded(tmp_path, of, images)
    assert torch.equal(features(again, images), before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not FeaturePack(tmp_path, of).missing(image_digests(images))


def test_rows_of_another_encoder_are_not_used(weights: Path, tmp_path: Path) -> None:
    images, of = toy_images(4, 2), recipe(weights)
    encoded(tmp_path, of, images)
    other = recipe(toy_weights(tmp_path / "other.pth", seed=1))
    assert len(FeaturePack(tmp_path, other).missing(image_digests(images))) == 4
    (path,) = (tmp_path / "features").rglob("*.rows")
    copy = tmp_path / "features" / other.key() / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    with pytest.warns(UserWarning, match="belongs to another encoder"):
        assert len(FeaturePack(tmp_path, other).missing(image_digests(images))) == 4
    assert not copy.exists()


def test_full_disk_costs_a_warning_and_features_stay_in_memory(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    images, of = toy_images(4, 2), recipe(weights)
    expected = features(encoded(None, of, images), images)
    monkeypatch.setattr(store, "write_segment", full)
    with pytest.warns(UserWarning, match="cannot be written .*No space left"):
        pack = encoded(tmp_path, of, images)
    assert torch.equal(features(pack, images), expected)


def test_rows_read_from_files_equal_resident_ones(weights: Path, tmp_path: Path) -> None:
    images = toy_images(6, 3)
    pack, digests = encoded(tmp_path, recipe(weights), images), image_digests(images)
    resident, lazy = (FeatureTable([pack], digests, torch.device("cpu"), resident=each) for each in (True, False))
    position, view = torch.tensor([5, 0, 0, 3]), torch.tensor([1, 0, 1, 1])
    assert torch.equal(resident.gather(position, view), lazy.gather(position, view))
    assert torch.equal(resident.gather(position), lazy.gather(position))
    none = position[:0]
    assert lazy.gather(none, none).shape == resident.gather(none, none).shape == (0, 256, 1, 1)


@pytest.mark.parametrize("augment", [AUGMENT, None])
def test_features_scaled_in_advance_equal_those_that_the_model_scales(augment: Any, weights: Path) -> None:
    images = toy_images(40, 3)
    pack = encoded(None, recipe(weights, augment), images)
    table = FeatureTable([pack], image_digests(images), torch.device("cpu"), resident=True)
    layer, rows = UnitLength(30.0), EncodedImages(torch.arange(40), table)
    for size in (1, 2, 3, 7, 16, 33, 40):
        batch = rows[torch.randperm(40, generator=torch.Generator().manual_seed(size))[:size]]
        plain, scaled = (
            StoredViews(0.5, table, length).apply(batch, torch.Generator().manual_seed(0)) for length in (None, 30.0)
        )
        assert torch.equal(layer(plain), layer(scaled)), size
        assert scaled.ndim == 3, "marked as scaled"
        assert torch.equal(layer(plain.flatten(1)), layer(plain)), "a matrix of features is scaled"


def test_large_tables_are_not_scaled_in_advance(weights: Path) -> None:
    images = toy_images(4, 2)
    pack, digests = encoded(None, recipe(weights), images), image_digests(images)
    resident, lazy = (FeatureTable([pack], digests, torch.device("cpu"), resident=each) for each in (True, False))
    size = 4 * resident.values.numel()
    assert resident.can_scale(size)
    assert not resident.can_scale(size - 1)
    assert not lazy.can_scale(size)
    before = resident.nbytes
    resident.scaled(30.0)
    assert resident.nbytes == before + size


def test_stored_views_are_drawn_evenly_for_each_image_and_step(weights: Path) -> None:
    images = toy_images(4, 2)
    pack = encoded(None, recipe(weights), images)
    table = FeatureTable([pack], image_digests(images), torch.device("cpu"), resident=True)
    views, split = StoredViews(0.5, table), EncodedImages(torch.arange(4), table)
    rows = features(pack, images).float()
    drawn = [views.apply(split[torch.tensor([2])], torch.Generator().manual_seed(seed)).flatten() for seed in range(40)]
    counts = [sum(torch.equal(each, rows[2, view]) for each in drawn) for view in range(2)]
    assert sum(counts) == 40
    assert min(counts) >= 10
    assert torch.equal(split.plain(split[torch.tensor([1])]).flatten(), rows[1, 0])


def encode_slowly(weights: Path, cache: Path, built: Path) -> None:
    """In a process of its own: publish every two rows; `built` gets a byte for each built network and each wait."""

    def slow(items: Iterable[Any], description: str, total: int, /) -> Iterable[Any]:
        for item in items:
            yield item
            time.sleep(0.1)

    def append(letter: bytes) -> None:
        with open(built, "ab") as file:
            file.write(letter)

    def build() -> Any:
        append(b".")
        return of.encoder.build()

    store.LEAST_ROWS = 2
    images, of = toy_images(20, 4), recipe(weights)
    job = EncodingJob(FeaturePack(cache, of), [images], image_digests(images))
    encode_missing(build, job, slow, announce_wait=lambda: append(b"w"))


def start(weights: Path, cache: Path) -> Any:
    """A fork, which saves the import of torch."""
    process = multiprocessing.get_context("fork").Process(target=encode_slowly, args=(weights, cache, cache / "built"))
    process.start()
    return process


def test_killed_encoding_keeps_what_was_published_and_goes_on(weights: Path, tmp_path: Path) -> None:
    process = start(weights, tmp_path)
    deadline = time.monotonic() + 60
    while len(list((tmp_path).rglob("*.rows"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    images, of = toy_images(20, 4), recipe(weights)
    kept = len(FeaturePack(tmp_path, of))
    assert 4 <= kept < 20
    pack = encoded(tmp_path, of, images)
    assert torch.equal(features(pack, images), features(encoded(None, of, images), images))


def test_two_processes_encode_once(weights: Path, tmp_path: Path) -> None:
    processes = [start(weights, tmp_path) for _ in range(2)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted((tmp_path / "built").read_bytes()) == sorted(b".w"), "one encoded, the other said that it waits"
    images, of = toy_images(20, 4), recipe(weights)
    pack = FeaturePack(tmp_path, of)
    assert sum(len(segment.digests) for segment in pack.segments) == len(pack) == 20
    assert numpy.array_equal(features(pack, images), features(encoded(None, of, images), images))
