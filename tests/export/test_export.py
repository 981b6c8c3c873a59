"""Exported models compute what `semisup predict` computes, and the command refuses what it cannot export."""

import io
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import yaml
from PIL import Image

from semisup.export.formats import FORMATS
from semisup.export.model_card import CardContent, decoding_code, wilson_interval
from semisup.images.decode import decode
from semisup.images.decode_settings import DecodeSettings
from semisup.runner.classifier import load_classifier
from semisup.runtime.atomic_files import NewFolder
from tests.conftest import SHARED, Program, checked
from tests.encoder.toy import toy_folder, toy_weights, toy_words

RUN = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"

SIZES = ((16, 16), (9, 25), (25, 9), (49, 98), (98, 49), (200, 31), (5, 7), (61, 60))
"""Width and height of images; for 49 x 98, int(98 * (16 / 49)) is 31, not 32."""


def photographs(folder: Path, count: int) -> list[Path]:
    """Real photographs where a checkout has them beside it, else generated images."""
    real = sorted((SHARED / "grocery_mini").rglob("*.jpg"))[:count]
    if len(real) == count:
        return real
    folder.mkdir()
    random = numpy.random.Generator(numpy.random.Philox(0))
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        small = Image.fromarray(random.integers(0, 256, (5, 4, 3), dtype=numpy.uint8))
        small.resize((60 + number, 90), Image.Resampling.BICUBIC).save(path)
    return paths


def as_input(paths: list[Path], size: int) -> Any:
    """Decode and resize images as the model card says."""
    images = [Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR) for path in paths]
    return numpy.stack([numpy.asarray(image) for image in images])


def test_onnx_of_an_encoder_run_agrees_with_predict(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    words = toy_words(toy_weights(tmp_path / "toy.pth"), toy_folder(tmp_path / "toy"))
    status, output = program("train", *words, "dataset.draft=false", "method=supervised")
    assert status == 0, output
    (run,) = [path.parent for path in Path("outputs/runs").glob("*/summary.json")]
    status, output = program("export", str(run))
    assert (status, output) == (0, f"wrote {run}/export/onnx/model.onnx and its README.md\n")

    paths = photographs(tmp_path / "photographs", 100)
    classifier = load_classifier(run, device="cpu")
    expected = classifier.probabilities(paths)
    session = onnxruntime.InferenceSession(run / "export/onnx/model.onnx")
    (probabilities,) = session.run(None, {"images": as_input(paths, 16)})
    assert numpy.abs(probabilities - expected).max() <= 1e-4
    (one,) = session.run(None, {"images": as_input(paths[:1], 16)})
    assert one == pytest.approx(expected[:1], abs=1e-4)

    folder = tmp_path / run / "export/onnx"
    monkeypatch.chdir(folder)
    assert sorted(path.name for path in Path.cwd().iterdir()) == [
        "README.md", "config.json", "labels.txt", "model.onnx", "preprocessing.json",
    ]  # fmt: skip
    assert Path("labels.txt").read_text().splitlines() == classifier.classes
    inside = json.loads(Path("preprocessing.json").read_text())["inside_the_model"]
    assert (inside["size"], inside["interpolation"]) == (32, "bicubic, antialiased")
    _, output = run_card(folder, monkeypatch, paths[0])
    assert output.split()[0] == classifier.predict(paths[0])[0][0]


def run_card(folder: Path, monkeypatch: pytest.MonkeyPatch, image: Path) -> tuple[dict[str, Any], str]:
    """Execute the code of the model card beside a copy of an image; return its variables and its output."""
    monkeypatch.chdir(folder)
    Image.open(image).save("image.jpg", format="PNG")
    (code,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(), re.DOTALL)
    printed, names = io.StringIO(), dict[str, Any]()
    monkeypatch.setattr(sys, "stdout", printed)
    with torch.no_grad():
        exec(compile(code, "README.md", "exec"), names)
    torch.set_grad_enabled(True)
    return names, printed.getvalue()


@pytest.mark.parametrize("model", [("model=linear",), ("model=mlp", "model.widths=[8]")])
def test_code_for_safetensors_runs_an_encoder_with_timm_alone(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch, model: tuple[str, ...]
) -> None:
    words = [*toy_words(toy_weights(tmp_path / "toy.pth"), toy_folder(tmp_path / "toy")), "dataset.draft=false"]
    words = [word for word in words if word != "model=linear"]
    assert program("train", *words, *model, "method=supervised")[0] == 0
    (run,) = [path.parent for path in Path("outputs/runs").glob("*/summary.json")]
    assert program("export", str(run), "--format=safetensors", "--output=model")[0] == 0
    (image,) = photographs(tmp_path / "photographs", 1)
    expected = load_classifier(run, device="cpu").probabilities([image])
    names, output = run_card(tmp_path / "model", monkeypatch, image)
    assert names["probabilities"] == pytest.approx(expected, abs=1e-5)
    assert output.startswith(load_classifier(tmp_path / run, device="cpu").classes[expected[0].argmax()])
    assert "settings_class" not in names, "a class of semisup"
    inside = json.loads(Path("preprocessing.json").read_text())["inside_the_model"]
    scale = yaml.safe_load((tmp_path / run / "config.yaml").read_text())["model"]["scale"]
    assert inside["features"] == {"rounded_to": "float16", "length": scale}
    for path in Path.cwd().glob("*.[jm][sd]*"):
        assert str(tmp_path) not in path.read_text(), "paths of this machine"


def test_code_for_safetensors_builds_other_networks_with_semisup(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program("export", str(RUN), "--format=safetensors", "--output=model")[0] == 0
    (image,) = photographs(tmp_path / "photographs", 1)
    expected = load_classifier(RUN, device="cpu").probabilities([image])
    names, _ = run_card(tmp_path / "model", monkeypatch, image)
    assert names["probabilities"] == pytest.approx(expected, abs=1e-5)
    assert "This code needs semisup " in Path("README.md").read_text()


@pytest.mark.parametrize("resize", ["stretch", "center_crop"])
def test_code_of_the_model_card_decodes_as_training_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resize: str
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = DecodeSettings(size=16, resize=resize, draft=False, background=128, max_pixels=10**6)
    code, random = "\n".join(decoding_code(settings)), numpy.random.Generator(numpy.random.Philox(0))
    for width, height in SIZES:
        image = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=numpy.uint8))
        image.save("image.jpg", format="PNG")
        names: dict[str, Any] = {}
        exec(code, names)
        pixels = decode(Path("image.jpg").read_bytes(), settings).pixels
        assert numpy.array_equal(names["pixels"][0].transpose(2, 0, 1), pixels), (width, height)


@pytest.fixture
def digits() -> Any:
    """12 digits as (12, 8, 8, 3) uint8."""
    from semisup.dataset.digits import load_digits_csv

    pixels, _ = load_digits_csv()
    gray = numpy.rint(pixels[:12] * (255 / 16)).astype(numpy.uint8)
    return numpy.repeat(gray[..., None], 3, axis=3)


@pytest.mark.parametrize("name", ["onnx", "torch", "safetensors"])
def test_each_format_is_used_without_semisup(tmp_path: Path, program: Program, digits: Any, name: str) -> None:
    status, output = program("export", str(RUN), "--format", name, "--output", "model")
    assert status == 0, output
    expected = load_classifier(RUN, device="cpu").probabilities(digits)
    (file,) = Path("model").glob("model.*")
    if name == "onnx":
        session = pytest.importorskip("onnxruntime").InferenceSession(file)
        (probabilities,) = session.run(None, {"images": digits})
    elif name == "torch":
        probabilities = torch.export.load(file).module()(torch.from_numpy(digits)).numpy()
    else:
        from safetensors.torch import load_file

        weights = load_file(file)
        assert {key.partition(".")[0] for key in weights} == {"model"}
        last = [key for key in weights if key.endswith(".weight")][-1]
        assert weights[last].shape[0] == 10
        return
    assert numpy.abs(probabilities - expected).max() <= 1e-5


def test_model_card_has_a_header_and_the_interval(tmp_path: Path, program: Program) -> None:
    shutil.copytree(RUN, tmp_path / "run")
    assert program("export", "run", "--format=safetensors")[0] == 0
    card = Path("run/export/safetensors/README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert (header["library_name"], header["pipeline_tag"]) == ("pytorch", "image-classification")
    (result,) = header["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.4}]
    low, high = wilson_interval(180, 450)
    assert f"- test: 40.0% of 450 images; 95 % interval {low:.1%} to {high:.1%}" in card
    assert "so the value is optimistic" in card


def test_wilson_interval_has_known_values() -> None:
    assert wilson_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)


def test_refusals_are_one_line_and_leave_nothing(
    tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*words: str) -> str:
        status, output = program("export", *words)
        assert (status, output.count("\n")) == (2, 1), output
        return output

    shutil.copytree(RUN, tmp_path / "run")
    options = ("--format=safetensors", "--output")
    Path("full").mkdir()
    assert "full: exists already; give another --output, or delete it" in refused("run", *options, "full")
    Path("file").write_text("")
    assert "file/model: cannot be created: File exists; give another folder" in refused("run", *options, "file/model")
    assert "nowhere: there is no such folder; type the directory of a run" in refused("nowhere", *options, "model")

    write = NewFolder.write

    def full_disk(folder: NewFolder, name: str, content: bytes) -> None:
        if name == "README.md":
            raise OSError(28, "No space left on device", str(folder.path / name))
        write(folder, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(NewFolder, "write", full_disk)
        assert "No space left on device" in refused("run", *options, "model")
    assert not Path("model").exists()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxscript", None)
        message = "--format onnx needs the package onnxscript; type pip install 'semisup[onnx]'"
        assert message in refused("run", "--output=model")
    Path("run/summary.json").unlink()
    assert "run: the run is not finished; repeat the command that trained it" in refused("run", *options, "model")
    Path("run/summary.json").write_text("{}")
    about = yaml.safe_load(Path("run/config.yaml").read_text())
    Path("run/config.yaml").write_text(yaml.safe_dump(about | {"probe": {"classifier": "nearest_neighbors"}}))
    shutil.rmtree("run/checkpoints")
    assert "run: nearest neighbors store no model" in refused("run", *options, "model")
    assert not Path("model").exists()


def test_card_names_a_folder_of_images_by_its_name() -> None:
    config = checked("dataset=folder", "dataset.root=/data/my photos")
    assert CardContent("run", [], config, {}, {}, FORMATS["onnx"]).dataset == "my photos"
    assert CardContent("run", [], checked(), {}, {}, FORMATS["onnx"]).dataset == "digits"
