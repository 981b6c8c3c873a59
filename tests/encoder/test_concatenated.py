"""encoder=concatenated: features of several networks in one run, stored for each network separately."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import yaml
from safetensors.torch import load_file

from semisup.config.run_id import run_id
from semisup.encoder.lite0 import Lite0
from semisup.encoder.lite1 import Lite1
from semisup.encoder.timm import TimmEncoder
from semisup.errors import SettingError
from semisup.export.standalone_model import StandaloneModel
from semisup.features import PackRecipe, classifier, concatenate_features
from semisup.runner import data as data_module
from semisup.runner import encoding
from semisup.runner import run as run_module
from semisup.runner.classifier import load_classifier
from semisup.runner.trained_model import load_trained_model
from tests.conftest import Program, checked
from tests.encoder.test_runs import FIXMATCH, numbers, runs
from tests.encoder.toy import (
    ARCHITECTURE,
    TRANSFORMER,
    assert_predicts_as_recorded,
    disconnect_hub,
    toy_folder,
    toy_weights,
    toy_words,
)

PLAIN = ["method=supervised", "augment=none"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Weights of a small convolutional network and of a small transformer."""
    folder = tmp_path_factory.mktemp("weights")
    return toy_weights(folder / "cnn.pth"), toy_weights(folder / "vit.pth", TRANSFORMER)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_folder(tmp_path_factory.mktemp("images"))


@pytest.fixture(autouse=True)
def nothing_loaded() -> None:
    """Each command reads its features from the files, as a process of its own would."""
    encoding._encoded.clear()
    encoding._digests.clear()
    data_module._loaded_data.clear()


def pair_words(files: tuple[Path, Path], images: Path) -> list[str]:
    """Overrides of a short run on the concatenated features of both networks."""
    words = [word for word in toy_words(files[0], images) if not word.startswith(("encoder=", "encoder.arch"))]
    words = [word for word in words if not word.startswith(("encoder.weights", "encoder.input_size"))]
    lists = {"architecture": [ARCHITECTURE, TRANSFORMER], "weights": [*files], "input_size": [32, 160]}
    texts = (f"encoder.{key}=[{','.join(map(str, values))}]" for key, values in lists.items())
    return ["encoder=concatenated", *texts, *words]


def the_run(folder: Path) -> Path:
    (run,) = runs(folder).values()
    return run


def packs(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())["dataset"]["features"]["packs"]


def test_defaults_are_lite0_and_lite1_which_share_features_with_runs_of_one_of_them() -> None:
    encoder = checked("encoder=concatenated", "model=linear").encoder
    assert encoder is not None
    assert [type(part) for part in encoder.parts()] == [Lite0, Lite1]
    assert encoder.dimension() == 2560
    for name, part in zip(("lite0", "lite1"), encoder.parts(), strict=True):
        alone: Any = checked(f"encoder={name}", "model=linear").encoder
        keys = [PackRecipe(each, None, (3, 224, 224), torch.device("cpu")).key() for each in (part, alone)]
        assert keys[0] == keys[1]


def test_saved_config_has_the_digest_of_each_file_and_the_id_depends_on_it(
    files: tuple[Path, Path], images: Path, tmp_path: Path
) -> None:
    config = checked(*pair_words(files, images)).config
    digests = config["encoder"]["sha256"]
    alone: Any = checked(*toy_words(files[0], images)).config["encoder"]
    assert digests[0] == alone["sha256"] != digests[1]
    moved = [toy_weights(tmp_path / "cnn.pth"), toy_weights(tmp_path / "vit.pth", TRANSFORMER)]
    assert run_id(checked(*pair_words((moved[0], moved[1]), images)).config) == run_id(config)
    other = toy_weights(tmp_path / "vit.pth", TRANSFORMER, seed=1)
    assert run_id(checked(*pair_words((moved[0], other), images)).config) != run_id(config)
    with pytest.raises(SettingError, match=rf"^encoder\.weights\.1={files[1]}: must be the file with sha256 000"):
        checked(*pair_words(files, images), f"encoder.sha256=[{digests[0]},'{'0' * 64}']")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["encoder.architecture=[resnet18]"], r"encoder\.architecture=\['resnet18'\]: must be a list of two or more"),
        (["encoder.weights=[lite0]"], r"encoder\.weights=\['lite0'\]: must have one value for each of the 2 networks"),
        (["encoder.input_size=[224]"], r"encoder\.input_size=\[224\]: must have one value for each of the 2 networks"),
        (["encoder.input_size=[224,5]"], r"encoder\.input_size=5: must be in \[8, 4096\]"),
        (["encoder.input_size=[224,16]"], r"encoder\.input_size\.1=16: must be in \[32, 1024\]"),
        (["encoder.sha256=[a]"], r"encoder\.sha256=\['a'\]: must have one value for each of the 2 networks"),
        (["encoder.weights.1=lite0"], r"encoder\.weights\.1=lite0: these weights need encoder\.architecture\.1=tf_eff"),
        (["encoder.architecture.1=resnet99", "encoder.weights.1=hub"], r"encoder\.architecture\.1=resnet99: must be"),
        (["encoder.weights=lite0"], r"encoder\.weights=lite0: must be a list of texts"),
        (["encoder.views=0"], r"encoder\.views=0: must be in \[1, 1000\]"),
        (
            ["encoder.architecture.1=tf_efficientnet_lite0", "encoder.weights.1=lite0"],
            "contains the same network twice",
        ),
        (
            ["encoder.architecture.1=tf_efficientnet_lite0.in1k", "encoder.weights.1=lite0"],
            "contains the same network twice",
        ),
        (["model=small_cnn"], "must be one of linear, mlp with encoder=concatenated"),
    ],
)
def test_invalid_settings_name_the_network(words: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        checked("encoder=concatenated", "model=linear", *words)


def test_unreachable_hub_names_the_network_whose_weights_are_missing(
    program: Program, images: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    disconnect_hub(monkeypatch)
    status, output = program("train", *pair_words(files, images), "encoder.weights.1=hub")
    assert (status, output.count("\n")) == (2, 1), output
    assert "encoder.weights.1=hub: cannot be downloaded (no route to host); download https://hugging" in output
    assert "on a connected machine and type encoder.weights.1=/path/to/model.safetensors" in output


def test_features_are_those_of_each_network_scaled_to_length_1(
    program: Program, files: tuple[Path, Path], images: Path, tmp_path: Path
) -> None:
    assert program("train", *pair_words(files, images), *PLAIN)[0] == 0
    run = the_run(tmp_path / "outputs/runs")
    rows = torch.from_numpy(load_classifier(run).embeddings(images / "validation"))
    begin = 0
    for architecture, file, size in zip((ARCHITECTURE, TRANSFORMER), files, (32, 160), strict=True):
        words = [*toy_words(file, images, architecture=architecture, input_size=size), *PLAIN, f"name={architecture}"]
        assert program("train", *words)[0] == 0
        alone = load_classifier(the_run(tmp_path / "outputs" / architecture)).embeddings(images / "validation")
        scaled = torch.nn.functional.normalize(torch.from_numpy(alone), dim=1)
        own = rows[:, begin : begin + scaled.shape[1]]
        assert torch.equal(own, scaled.half().float())
        assert own.norm(dim=1).numpy() == pytest.approx(1, abs=1e-3)
        begin += scaled.shape[1]
    assert begin == rows.shape[1]


def test_features_of_a_network_are_stored_once_for_all_runs(
    program: Program, files: tuple[Path, Path], images: Path, tmp_path: Path
) -> None:
    status, output = program("train", *toy_words(files[0], images), *FIXMATCH)
    assert status == 0, output
    (alone,) = runs(tmp_path / "outputs/runs").values()
    first, folder = packs(alone), tmp_path / "outputs/.cache/features"
    assert len(list(folder.iterdir())) == 3
    status, output = program("train", *pair_words(files, images), *FIXMATCH, "name=both")
    assert status == 0, output
    assert len(list(folder.iterdir())) == 6
    assert "encoding 84 images x 1 view and 48 images x 4 views, about" in output, "of the second network only"
    both = packs(the_run(tmp_path / "outputs/both"))
    assert {name: pack["key"][0] for name, pack in both.items()} == {name: pack["key"] for name, pack in first.items()}
    assert {name: pack["digest"][0] for name, pack in both.items()} == {
        name: pack["digest"] for name, pack in first.items()
    }
    status, output = program("train", *pair_words(files, images), "encoder.cache=null", *FIXMATCH, "name=memory")
    assert "encoding 84 images x 1 view and 48 images x 4 views with each of 2 networks, about" in output
    assert numbers(the_run(tmp_path / "outputs/memory")) == numbers(the_run(tmp_path / "outputs/both"))


def test_run_on_features_read_from_files_equals_one_on_features_in_memory(
    program: Program, files: tuple[Path, Path], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*pair_words(files, images), *FIXMATCH]
    assert program("train", *words)[0] == 0
    encoding._encoded.clear()
    monkeypatch.setattr(encoding, "_memory_limit", lambda: 0.0)
    assert program("train", *words, "name=lazy")[0] == 0
    assert all(len(loaded.table.lazy) == 2 for loaded in encoding._encoded.values())
    assert numbers(the_run(tmp_path / "outputs/lazy")) == numbers(the_run(tmp_path / "outputs/runs"))


def test_run_predicts_as_recorded_and_is_reproduced_only_with_the_same_files(
    program: Program, files: tuple[Path, Path], images: Path, tmp_path: Path
) -> None:
    vit = toy_weights(tmp_path / "vit.pth", TRANSFORMER)
    assert program("train", *pair_words((files[0], vit), images), *FIXMATCH)[0] == 0
    run = the_run(tmp_path / "outputs/runs")
    assert_predicts_as_recorded(program, run, images, tmp_path / "classes.csv")
    status, output = program("reproduce", str(run))
    assert status == 0, output
    assert "identical" in output
    then = yaml.safe_load((run / "config.yaml").read_text())["encoder"]["sha256"][1]
    toy_weights(vit, TRANSFORMER, seed=1)
    status, output = program("reproduce", str(run))
    assert (status, output.count("\n")) == (2, 1), output
    assert f"encoder.weights.1={vit}: must be the file with sha256 {then}" in output
    assert program("predict", str(run), str(images / "validation"))[0] == 2
    (tmp_path / "elsewhere").mkdir()
    moved = toy_weights(tmp_path / "elsewhere/vit.pth", TRANSFORMER)
    status, output = program("reproduce", str(run), f"encoder.weights=[{files[0]},{moved}]")
    assert (status, "identical" in output) == (0, True), output
    about = json.loads((run / "run.json").read_text())
    about["dataset"]["features"]["packs"]["plain"]["digest"][1] = "0" * 64
    (run / "run.json").write_text(json.dumps(about))
    status, output = program("reproduce", str(run), f"encoder.weights.1={moved}", "--check-only")
    assert status == 1
    assert "differs: digest of the features (plain): [" in output


def test_unfinished_run_is_not_continued_with_another_file_of_weights(
    program: Program, files: tuple[Path, Path], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "delete_finished_states", lambda folder: None)
    vit = toy_weights(tmp_path / "vit.pth", TRANSFORMER)
    words = [*pair_words((files[0], vit), images), *PLAIN, "checkpoint.every_steps=1"]
    assert program("train", *words)[0] == 0
    run = the_run(tmp_path / "outputs/runs")
    (run / "summary.json").unlink()  # as a run killed before its last write
    toy_weights(vit, TRANSFORMER, seed=1)
    status, output = program("train", *words)
    assert status == 2, output
    assert f"but the unfinished run {run.name} began with " in output
    toy_weights(vit, TRANSFORMER)
    assert program("train", *words)[0] == 0
    assert (run / "summary.json").exists()


def test_label_propagation_with_rejection_and_logistic_regression_use_both_networks(
    program: Program, files: tuple[Path, Path], images: Path, tmp_path: Path
) -> None:
    own = ["method=label_propagation", "threshold.tau=0.1", "augment=none", "reject=knn", "reject.k=1"]
    for name, words in (("propagated", own), ("fitted", ["probe.classifier=logistic_regression", "probe.C=[1]"])):
        status, output = program("train", *pair_words(files, images), *words, f"name={name}")
        assert status == 0, output
        run = the_run(tmp_path / "outputs" / name)
        assert_predicts_as_recorded(program, run, images, tmp_path / f"{name}.csv")


def test_ensemble_builds_a_network_of_two_runs_once(
    program: Program, files: tuple[Path, Path], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program("train", *toy_words(files[0], images), *PLAIN)[0] == 0
    assert program("train", *pair_words(files, images), *PLAIN)[0] == 0
    built: list[str] = []
    build = TimmEncoder.build
    monkeypatch.setattr(TimmEncoder, "build", lambda self, **how: built.append(self.architecture) or build(self, **how))
    calls: list[int] = []
    encode = classifier.encode_batch
    monkeypatch.setattr(classifier, "encode_batch", lambda *values: calls.append(1) or encode(*values))
    models = [str(run) for run in runs(tmp_path / "outputs/runs").values()]
    status, output = program("predict", *models, str(images / "validation"))
    assert status == 0, output
    assert sorted(built) == [ARCHITECTURE, TRANSFORMER]
    assert len(calls) == 2 * 2, "18 images in batches of 16, with each network"


def test_export_includes_both_networks_and_names_their_weights(
    program: Program, files: tuple[Path, Path], images: Path, tmp_path: Path
) -> None:
    assert program("train", *pair_words(files, images), *PLAIN)[0] == 0
    run = the_run(tmp_path / "outputs/runs")
    status, output = program("export", str(run), "--format", "safetensors", "--output", "exported")
    assert status == 0, output
    pixels = numpy.random.Generator(numpy.random.Philox(0)).integers(0, 256, (5, 16, 16, 3), dtype=numpy.uint8)
    trained = load_trained_model(run, torch.device("cpu"))
    probabilities = StandaloneModel(trained, trained.run_config.encoder)(torch.from_numpy(pixels)).numpy()
    expected = load_classifier(run, device="cpu").probabilities(pixels)
    assert numpy.abs(probabilities - expected).max() <= 1e-4
    names = load_file("exported/model.safetensors")
    assert {".".join(name.split(".")[:2]) for name in names if "encoder" in name} == {"encoder.0", "encoder.1"}
    card = Path("exported/README.md").read_text()
    for digest in yaml.safe_load((run / "config.yaml").read_text())["encoder"]["sha256"]:
        assert digest in card
    assert card.count("license: ") == 2
    networks = json.loads(Path("exported/preprocessing.json").read_text())["inside_the_model"]["networks"]
    assert [(each["size"], each["features_length"]) for each in networks] == [(32, 1), (160, 1)]


def test_concatenation_scales_each_part_and_leaves_one_part_as_it_is() -> None:
    one, other = torch.tensor([[300.0, 400.0], [0, 0]]).half(), torch.tensor([[0.5], [2.0]]).half()
    assert concatenate_features([one]) is one
    combined = concatenate_features([one, other])
    assert combined.dtype == torch.float16
    assert combined.float().numpy() == pytest.approx(numpy.array([[0.6, 0.8, 1], [0, 0, 1]]), abs=3e-4)
