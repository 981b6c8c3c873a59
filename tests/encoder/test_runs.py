"""Runs on stored features, as typed: alone and in a sweep, resumed, reproduced, and used for prediction."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import yaml
from PIL import Image

from semisup.core.inference import to_float
from semisup.encoder import encode_batch
from semisup.features import table
from semisup.runner import data as data_module
from semisup.runner import encoding
from semisup.runner import run as run_module
from semisup.runner.classifier import load_classifier
from tests.conftest import CONF, Program, choose, options
from tests.encoder.toy import assert_predicts_as_recorded, toy_folder, toy_weights, toy_words


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_weights(tmp_path_factory.mktemp("weights") / "toy.pth")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def words(weights: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of a run whose features most tests share."""
    return [*toy_words(weights, images), f"encoder.cache={tmp_path_factory.mktemp('cache')}"]


@pytest.fixture(autouse=True)
def nothing_loaded() -> None:
    """Each command reads its features from the files, as a process of its own would."""
    encoding._encoded.clear()
    encoding._digests.clear()
    data_module._loaded_data.clear()


FIXMATCH = ["method=fixmatch", "method.ratio=2", "augment=randaugment", "augment.strength=0.5", "threshold.tau=0.4"]


def runs(folder: Path) -> dict[str, Path]:
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/summary.json"))}


def numbers(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows.append(json.loads((run / "summary.json").read_text()))
    return [{key: value for key, value in row.items() if not key.endswith("_seconds")} for row in rows]


@pytest.mark.parametrize("method", options("method"))
def test_every_method_trains_on_features(method: str, words: list[str], program: Program, tmp_path: Path) -> None:
    words = [*words, *choose("method", method, gate=0, refresh_every=1, ratio=1), "train.ema_decay=0.9"]
    status, output = program("train", *words, "augment=randaugment", "threshold.tau=0.1")
    assert status == 0, output
    (run,) = runs(tmp_path / "outputs/runs").values()
    assert json.loads((run / "summary.json").read_text())["steps"] == 6
    features = json.loads((run / "run.json").read_text())["dataset"]["features"]
    expected = {"plain", "augment"} | ({"weak"} if method in ONLINE else set())
    assert set(features["packs"]) == expected
    assert "license" in features["weights"]


@pytest.mark.parametrize(("method", "model"), [("fixmatch", "linear"), ("fixmatch", "mlp"), ("mixmatch", "linear")])
def test_run_on_features_scaled_in_advance_equals_one_that_scales_them_in_every_step(
    method: str, model: str, words: list[str], program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*words, f"model={model}", *choose("method", method, ratio=1), "train.ema_decay=0.9", "augment=randaugment"]
    states = []
    for name, most_bytes in (("ahead", table.MAX_SCALED_BYTES), ("each_step", 0)):
        monkeypatch.setattr(table, "MAX_SCALED_BYTES", most_bytes)
        assert program("train", *words, "threshold.tau=0.1", f"name={name}")[0] == 0
        (run,) = runs(tmp_path / "outputs" / name).values()
        (state,) = (run / "checkpoints").glob("best-*.pt")
        states.append((numbers(run), state.name))  # the name has the digest of the weights
        tables = [loaded.table for loaded in encoding._encoded.values()]
        assert any(each._scaled for each in tables) == (most_bytes > 0 and method == "fixmatch")
        encoding._encoded.clear()
    assert states[0] == states[1]


@pytest.mark.parametrize("key", ["augment.strength", "weak.strength"])
def test_views_are_scaled_in_advance_in_all_tables_or_in_none(
    key: str, words: list[str], program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*words, "model=linear", "augment=randaugment", *choose("method", "fixmatch", ratio=1)]
    words += [f"{key}=0", "threshold.tau=0.1"]
    assert program("train", *words, "name=unlimited")[0] == 0
    tables = [loaded.table for loaded in encoding._encoded.values()]
    sizes = sorted(each.nbytes - each.values.nbytes for each in tables)  # of the scaled rows
    rows = [len(each.scaled(each_length)) for each in tables for each_length in each._scaled]
    assert len(rows) == 2, "the features without augmentation, and one set of views"
    assert max(rows) % min(rows) == 0, "no validation or test image is scaled"
    encoding._encoded.clear()
    monkeypatch.setattr(table, "MAX_SCALED_BYTES", (sizes[0] + sizes[1]) // 2)
    status, output = program("train", *words, "name=limited")
    assert status == 0, output
    assert not any(loaded.table._scaled for loaded in encoding._encoded.values())
    (first,), (second,) = (runs(tmp_path / "outputs" / name).values() for name in ("unlimited", "limited"))
    assert numbers(first) == numbers(second)


ONLINE = [name for name in options("method") if "ratio" in (CONF / "method" / f"{name}.yaml").read_text()]
ONLINE = [name for name in ONLINE if "\ngate:" not in (CONF / "method" / f"{name}.yaml").read_text()]


@pytest.mark.parametrize("policy", options("threshold"))
def test_every_threshold_policy_selects_on_features(
    policy: str, words: list[str], program: Program, tmp_path: Path
) -> None:
    words = [*words, "method=fixmatch", "method.ratio=2", *choose("threshold", policy, tau=0.2)]
    status, output = program("train", *words)
    assert status == 0, output


def test_run_alone_equals_the_same_run_in_a_sweep(words: list[str], program: Program, tmp_path: Path) -> None:
    words = [*words, *FIXMATCH]
    fresh = f"encoder.cache={tmp_path / 'cache'}"
    status, output = program("train", "-m", *words, fresh, "augment.strength=0.25,0.5", "seed=0,1", "name=sweep")
    assert status == 0, output
    assert len(list((tmp_path / "cache/features").iterdir())) == 4, "plain, weak, and one for each strength"
    swept = runs(tmp_path / "outputs/sweep")
    alone = [*words, "name=alone", "seed=1", f"encoder.cache={tmp_path / 'another'}"]
    status, output = program("train", *alone)
    assert status == 0, output
    (run,) = runs(tmp_path / "outputs/alone").values()
    assert numbers(run) == numbers(swept[run.name])
    assert any(row.get("pseudo/coverage") for row in numbers(run)), "pseudo-labels were selected"


def test_second_command_encodes_nothing_and_reuses_the_run(words: list[str], program: Program, tmp_path: Path) -> None:
    words = [*words, *FIXMATCH, f"encoder.cache={tmp_path / 'cache'}"]
    assert "encoding" in program("train", *words)[1]
    encoding._encoded.clear()
    status, output = program("train", *words, "threshold.tau=0.2")
    assert status == 0
    assert "encoding" not in output
    assert "already done" in program("train", *words)[1]


def test_seeds_and_strengths_change_numbers(words: list[str], program: Program, tmp_path: Path) -> None:
    words = [*words, *FIXMATCH]
    for change in ("seed=0", "seed=1", "augment.strength=0.25", "encoder.views=3", "encoder.view_seed=1"):
        assert program("train", *words, change)[0] == 0
    found = runs(tmp_path / "outputs/runs")
    assert len(found) == 5
    losses = {json.dumps([row.get("train/loss") for row in numbers(run)]) for run in found.values()}
    assert len(losses) == 5


def test_resumed_run_equals_an_uninterrupted_one_and_refuses_other_features(
    words: list[str], program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*words, *FIXMATCH, "checkpoint.every_steps=2"]
    save, calls = run_module._save, []

    def interrupted(*of: Any) -> None:
        save(*of)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "_save", interrupted)
    assert program("train", *words)[0] == 130
    monkeypatch.setattr(run_module, "_save", save)
    (folder,) = (tmp_path / "outputs/runs").iterdir()
    about = json.loads((folder / "run.json").read_text())
    packs = about["dataset"]["features"]["packs"]
    kept, packs["weak"]["digest"] = packs["weak"]["digest"], "0" * 64
    (folder / "run.json").write_text(json.dumps(about))
    status, output = program("train", *words)
    assert status == 2
    assert f"began with other features (digest of the features (weak): {'0' * 64} then, {kept} now)" in output
    packs["weak"]["digest"] = kept
    (folder / "run.json").write_text(json.dumps(about))
    assert program("train", *words)[0] == 0
    assert program("train", *words, "name=whole")[0] == 0
    assert numbers(folder) == numbers(tmp_path / "outputs/whole" / folder.name)


def test_checkpoint_holds_the_head_only(words: list[str], program: Program, tmp_path: Path) -> None:
    assert program("train", *words, *FIXMATCH)[0] == 0
    (run,) = runs(tmp_path / "outputs/runs").values()
    (best,) = (run / "checkpoints").glob("best-*.pt")
    assert best.stat().st_size < 20_000, "256 features x 3 classes, and not the network"


def test_reproduce_is_identical_and_reports_other_features_first(
    words: list[str], program: Program, tmp_path: Path
) -> None:
    assert program("train", *words, *FIXMATCH)[0] == 0
    (run,) = runs(tmp_path / "outputs/runs").values()
    status, output = program("reproduce", str(run))
    assert status == 0, output
    assert "identical" in output
    about = json.loads((run / "run.json").read_text())
    digest = about["dataset"]["features"]["packs"]["plain"]["digest"]
    about["dataset"]["features"]["packs"]["plain"]["digest"] = "0" * 64
    (run / "run.json").write_text(json.dumps(about))
    status, output = program("reproduce", str(run), "--check-only")
    assert status == 1
    assert f"differs: digest of the features (plain): {'0' * 64} then, {digest} now" in output


def test_reproduce_refuses_another_file_of_weights_with_both_digests(
    images: Path, program: Program, tmp_path: Path
) -> None:
    file = toy_weights(tmp_path / "mine.pth")
    assert program("train", *toy_words(file, images), *FIXMATCH)[0] == 0
    (run,) = runs(tmp_path / "outputs/runs").values()
    then = yaml.safe_load((run / "config.yaml").read_text())["encoder"]["sha256"]
    toy_weights(file, seed=1)
    status, output = program("reproduce", str(run))
    assert status == 2
    assert f"must be the file with sha256 {then}; the sha256 of this file is " in output
    assert not list((tmp_path / "outputs").glob("reproduced-*"))
    assert program("train", *toy_words(file, images), *FIXMATCH)[0] == 0
    assert len(runs(tmp_path / "outputs/runs")) == 2, "another file is another run"
    (tmp_path / "elsewhere").mkdir()
    moved = toy_weights(tmp_path / "elsewhere/mine.pth")
    assert program("reproduce", str(run), f"encoder.weights={moved}")[0] == 0


def test_unfinished_run_is_not_continued_with_another_file_of_weights(
    images: Path, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "delete_finished_states", lambda folder: None)
    file = toy_weights(tmp_path / "mine.pth")
    words = [*toy_words(file, images), *FIXMATCH, "checkpoint.every_steps=1"]
    assert program("train", *words)[0] == 0
    (run,) = runs(tmp_path / "outputs/runs").values()
    (run / "summary.json").unlink()  # as a run killed before its last write
    then = yaml.safe_load((run / "config.yaml").read_text())["encoder"]["sha256"]
    toy_weights(file, seed=1)
    status, output = program("train", *words)
    assert status == 2, output
    assert f"encoder.weights={file}: its sha256 is " in output
    assert f"but the unfinished run {run.name} began with {then}" in output
    toy_weights(file)
    assert program("train", *words)[0] == 0
    assert (run / "summary.json").exists()


def test_predict_gives_the_confidence_of_the_run(
    words: list[str], images: Path, program: Program, tmp_path: Path
) -> None:
    assert program("train", *words, *FIXMATCH)[0] == 0
    (run,) = runs(tmp_path / "outputs/runs").values()
    assert_predicts_as_recorded(program, run, images, tmp_path / "classes.csv")

    classifier = load_classifier(run)
    embeddings = classifier.embeddings(images / "validation")
    pixels = numpy.stack([numpy.asarray(Image.open(path)) for path in sorted((images / "validation").glob("*/*.png"))])
    encoder = classifier.models[0].run_config.encoder
    assert encoder is not None
    plain = to_float(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    expected = [encode_batch(encoder.build(), part, encoder.batch) for part in plain.split(encoder.batch)]
    assert numpy.array_equal(embeddings, torch.cat(expected).float().numpy())


def test_runs_that_differ_in_strength_read_the_other_packs_once(
    words: list[str], program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    pack, digests = encoding.FeaturePack, encoding.image_digests
    monkeypatch.setattr(encoding, "FeaturePack", lambda cache, recipe: read.append(recipe) or pack(cache, recipe))
    monkeypatch.setattr(encoding, "image_digests", lambda images: read.append(None) or digests(images))
    for strength in (0.5, 0.25):
        status, output = program("train", *words, *FIXMATCH, f"augment.strength={strength}")
        assert status == 0, output
    augmentations = [each.augment for each in read if each is not None]
    assert augmentations.count(None) == 1, "plain images"
    assert len(augmentations) == 4, "two packs of strong views, and one of weak ones"
    assert read.count(None) == 4, "the images of each split are hashed once"


def test_ensemble_encodes_images_once_and_gives_the_mean(
    words: list[str], images: Path, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from semisup.features import classifier

    for seed in (0, 1):
        assert program("train", *words, *FIXMATCH, f"seed={seed}")[0] == 0
    calls: list[int] = []
    encode = classifier.encode_batch
    monkeypatch.setattr(classifier, "encode_batch", lambda *values: calls.append(1) or encode(*values))
    found = [str(run) for run in runs(tmp_path / "outputs/runs").values()]
    rows: dict[str, list[str]] = {}
    counts = []
    for models in ([found[0]], [found[1]], found):
        assert program("predict", *models, str(images / "validation"), "--output", "classes.csv", "--overwrite")[0] == 0
        with open(tmp_path / "classes.csv", newline="") as file:
            for row in csv.DictReader(file):
                rows.setdefault(row["path"], []).append(row["confidence"] if len(models) == 1 else row["class"])
        counts.append(len(calls))
    assert counts[2] - counts[1] == counts[1] - counts[0] == counts[0]
    assert all(len(row) == 3 for row in rows.values())


def test_only_the_process_that_encodes_announces_the_cost(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    from semisup.augment.randaugment import RandAugment
    from semisup.features import EncodingJob, FeaturePack, PackRecipe, encode_missing, image_digests
    from semisup.runner.progress import Bars
    from tests.conftest import toy_images
    from tests.encoder.toy import toy_encoder

    pixels, cpu = toy_images(6, 3), torch.device("cpu")
    recipe = PackRecipe(toy_encoder(weights), RandAugment(0.5, 2, 0.5, True, 0.125), (1, 8, 8), cpu)
    mine, theirs = (EncodingJob(FeaturePack(tmp_path, recipe), [pixels], image_digests(pixels)) for _ in range(2))
    with theirs.pack.lock() as alone:
        assert alone
        waiting = threading.Thread(target=encoding._encode_jobs, args=([mine], cpu, Bars()))
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive()
        from semisup.features import encode

        encode._encode(recipe.encoder.build(), theirs, lambda items, description, total, /: items)
    waiting.join(30)
    assert not waiting.is_alive()
    assert capsys.readouterr().err == "semisup: another process is encoding these images; waiting for its features\n"
    encode_missing(lambda: pytest.fail("nothing is missing"), mine, lambda items, description, total, /: items)


def test_run_id_without_encoder_is_the_one_of_earlier_versions(program: Program, tmp_path: Path) -> None:
    from semisup.config.run_id import result_config
    from tests.conftest import checked

    assert "encoder" not in result_config(checked().config)
    assert torch.get_num_threads() == 1
