"""A run's numbers depend on nothing but its config: not on the cache, the decoding processes, or its neighbors."""

import errno
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from semisup.config import schema
from semisup.images import cache, packs, pool
from semisup.record.writer import RunWriter
from semisup.runner import data as run_data
from semisup.runner import run as run_module
from semisup.runner.progress import Bars
from tests.conftest import compose, toy_images
from tests.kill.oracles import content, files

PLACES = ("config.yaml", "run.json")  # say where, when and how
SMALL = (
    *("tracking=none", "plots=false", "model.widths=[4,8]", "train.batch_size=6", "train.steps=12", "device=cpu"),
    *("augment.strength=0.5", "collapse.warn_below=null"),
)
EAGER = ("method.gate=0", "method.refresh_every=1", "threshold.tau=0.3")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Labeled, unlabeled and validation pictures."""
    folder = tmp_path / "photos"
    for seed, (split, count) in enumerate((("training/labeled", 18), ("training/unlabeled", 36), ("validation", 18))):
        images = toy_images(count, 3, size=12, channels=3, seed=seed)
        for number, (pixels, target) in enumerate(zip(images.pixels, images.targets.tolist(), strict=True)):
            place = folder / split / f"class {target}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(place / f"{number}.png")
    return folder


def run(*overrides: str) -> dict[str, Any]:
    """All that a run wrote, but what says where, when and how."""
    run_data._loaded_data.clear()
    outcome = run_module.run(schema.validate(compose(*SMALL, *overrides)), Bars(), in_sweep=False)
    assert outcome.status == "done", outcome.message
    assert not outcome.kept
    return {name: content(name, path) for name, path in files(outcome.folder).items() if name not in PLACES}


def of(photos: Path, name: str, cache: object = "null", workers: int = 1) -> Sequence[str]:
    folder = (f"output_root={photos.parent}", f"name={name}", f"dataset.cache={cache}", f"dataset.workers={workers}")
    return ("dataset=folder", f"dataset.root={photos}", "dataset.size=8", *EAGER, *folder)


def test_the_cache_changes_no_number_whatever_its_state(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "RACY_NS", 0)  # however young the files are, what is known of them is written at once
    without = run(*of(photos, "without"))
    assert len(without["metrics.jsonl"]) >= 3
    place = photos.parent / "cache"
    assert run(*of(photos, "cold", place)) == without
    assert list(place.rglob("*.pack"))
    decoded: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(cache, "decode_files", lambda *asked: decoded.append(asked) or iter(()))
        assert run(*of(photos, "warm", place)) == without
    assert not decoded, "it was warm"

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(cache, "AtomicFile", refuse)
    monkeypatch.setattr(packs, "write_atomically", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(*of(photos, "read-only", place)) == without
    with pytest.warns(UserWarning, match="cannot be written"):
        assert run(*of(photos, "cold-and-read-only", photos.parent / "other")) == without


def test_nor_does_the_number_of_decoding_processes(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "FEW_FILES", 1)
    monkeypatch.setattr(pool, "FEW_BYTES", 1)
    monkeypatch.setattr(pool, "_CHUNK_FILES", 5)
    one = run(*of(photos, "one"))
    assert run(*of(photos, "two", workers=2)) == one
    assert run(*of(photos, "five", workers=5)) == one


def test_nor_do_the_runs_before_it_in_the_same_process(tmp_path: Path) -> None:
    """Seeds, policies and models that leave something behind would be seen by whoever comes after."""
    members = {
        "fixed": EAGER,
        "other seed": (*EAGER, "seed=1"),
        "fixmatch": ("method=fixmatch", "method.ratio=2", "threshold=freematch", "train.ema_decay=0.9"),
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in members}
    for number, order in enumerate(([*members], [*members][::-1])):
        for name in order:
            found[name].append(run(f"output_root={tmp_path}", f"name=order{number}", *members[name]))
    for one, again in found.values():
        assert one == again
    for one, other in itertools.combinations(found.values(), 2):
        assert one[0]["metrics.jsonl"] != other[0]["metrics.jsonl"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (("checkpoint.every_steps=5",), [5, 10, 12]),
        (("checkpoint.every_steps=6", "checkpoint.every_seconds=3600"), [6, 12, 12]),
        (("checkpoint.every_seconds=3600",), [12]),
        (("checkpoint.every_seconds=0", "train.steps=2"), [1, 2, 2, 2]),
    ],
)
def test_how_often_it_is_saved_is_as_asked_and_changes_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], expected: list[int]
) -> None:
    steps: list[int] = []
    save = RunWriter.save

    def noting(record: RunWriter, snapshot: dict[str, Any]) -> None:
        steps.append(snapshot["step"])
        save(record, snapshot)

    monkeypatch.setattr(RunWriter, "save", noting)
    places = (f"output_root={tmp_path}", "method=supervised")
    found = run(*places, *settings, "name=asked")
    assert steps == expected
    length = [word for word in settings if word.startswith("train")]
    assert run(*places, *length, "name=never", "checkpoint.every_seconds=3600") == found
