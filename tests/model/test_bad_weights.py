"""Weights and networks of model=timm that cannot be used: one line says what is wrong and what to type, status 2."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Program
from tests.encoder.toy import ARCHITECTURE, TRANSFORMER, disconnect_hub, toy_folder, toy_weights


class Code:
    """Runs code when it is loaded as an object."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this code ran",)


def words(root: Path) -> list[str]:
    data = ["dataset=folder", f"dataset.root={toy_folder(root / 'images')}", "dataset.size=16", "dataset.workers=1"]
    length = ["train.epochs=null", "train.steps=2", "train.batch_size=6", "plots=false", "tracking=none"]
    model = ["model=timm", f"model.architecture={ARCHITECTURE}", "model.input_size=32", "model.freeze=encoder"]
    return ["train", *data, *length, *model, "method=supervised", "precision=float32"]


def truncated(path: Path) -> None:
    toy_weights(path)
    path.write_bytes(path.read_bytes()[:-4000])


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        state = torch.load(toy_weights(path), weights_only=True)
        change(state)
        torch.save(state, path)

    return write


def too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**29)


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, r"cannot be read \(No such file or directory\)"),
    "folder": (lambda path: path.mkdir(), "is not a file"),
    "empty": (lambda path: path.touch(), "own.pth: the file is empty"),
    "not of torch": (
        lambda path: path.write_text("<html>Not found</html>"),
        r"contains more than tensors and plain data \(torch.load with weights_only=True refuses it\)$",
    ),
    "pickled code of an old format": (
        lambda path: path.write_bytes(pickle.dumps(Code(), protocol=4)),
        r"contains more than tensors and plain data \(torch.load with weights_only=True refuses it\)$",
    ),
    "truncated": (truncated, r"contains more than tensors and plain data \([^.]*failed finding central directory\)$"),
    "pickled code": (
        lambda path: torch.save({"a": Code()}, path),
        "loading it would run print; save only model.state_dict",
    ),
    "too large": (too_large, r"takes 0\.5369 GB, more than the 0\.26\d+ GB that weights of this model can take"),
    "another architecture": (
        lambda path: toy_weights(path, TRANSFORMER),
        r"does not fit the architecture \(\d+ missing: ([^,]+, ){4}[^,]+ and \d+ more; \d+ not in the network: ",
    ),
    "extra keys": (
        changed(lambda state: state.update({f"extra{number}": torch.ones(1) for number in range(7)})),
        r"7 not in the network: extra0, extra1, extra2, extra3, extra4 and 2 more",
    ),
    "missing keys": (
        changed(lambda state: [state.pop(key) for key in list(state) if key.startswith("conv_")]),
        r"2 missing: conv_stem\.weight, conv_head\.weight\)",
    ),
    "another shape": (
        changed(lambda state: state.update({"conv_stem.weight": torch.ones(2, 3)})),
        r"1 of another shape: conv_stem\.weight \(2, 3\) instead of \(24, 3, 3, 3\)",
    ),
    "not finite": (changed(lambda state: state["conv_head.weight"].fill_(float("nan"))), "has values that are not fin"),
}

SETTINGS: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown architecture": (
        ("model.architecture=resnet19",),
        r"resnet19: must be an architecture of timm\.list_models\(\) \(did you mean (resnet\w+ or ){2}resnet",
    ),
    "unknown tag": (
        ("model.architecture=resnet18.a1_in1kk",),
        r"\(Invalid pretrained tag \(a1_in1kk\) for resnet18\) \(did you mean resnet18\.a1_in1k or ",
    ),
    "unknown weights": (
        ("model.weights=imagenet",),
        "must be null, hub, lite0, lite1, or a file that ends in .safetensors",
    ),
    "lite0 of another architecture": (
        ("model.weights=lite0",),
        r"model\.weights=lite0: these weights need model\.architecture=tf_efficientnet_lite0",
    ),
    "transformer of fixed size": (
        ("model.architecture=vit_tiny_patch16_224", "model.input_size=null", "train.batch_size=2"),
        r"dataset\.size=16: vit_tiny_patch16_224 does not accept this size: .*; type model\.input_size=224 to resize",
    ),
    "resized to another size than the fixed one": (
        ("model.architecture=vit_tiny_patch16_224",),
        r"model\.input_size=32: vit_tiny_patch16_224 does not accept this size: .*model\.input_size=224 to resize",
    ),
    "images smaller than the network accepts": (
        ("model.architecture=convnext_atto", "model.input_size=null"),
        r"dataset\.size=16: convnext_atto does not accept this size: .*; type model\.input_size=224 to resize",
    ),
    "more blocks than the network has": (
        ("model.freeze=blocks", "model.train_blocks=9"),
        r"model\.train_blocks=9: must be at most 6, the number of blocks of test_efficientnet",
    ),
}


def refused(program: Program, *typed: str) -> str:
    status, output = program(*typed)
    assert status == 2, output
    assert output.strip().count("\n") == 0, output
    assert "this code ran" not in output
    assert not Path("outputs").exists(), "nothing is written"
    return output


@pytest.mark.parametrize("case", FILES)
def test_file_of_weights_that_cannot_be_used_is_refused_in_one_line(
    case: str, program: Program, tmp_path: Path
) -> None:
    write, reason = FILES[case]
    file = tmp_path / "own.pth"
    write(file)
    output = refused(program, *words(tmp_path), f"model.weights={file}")
    assert f"model.weights={file}: " in output
    assert re.search(reason, output), output


@pytest.mark.parametrize("case", SETTINGS)
def test_setting_that_the_network_refuses_is_named_in_one_line(case: str, program: Program, tmp_path: Path) -> None:
    overrides, reason = SETTINGS[case]
    output = refused(program, *words(tmp_path), *overrides)
    assert re.search(reason, output), output


def test_unreachable_hub_says_what_to_download_and_where_to_put_it(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disconnect_hub(monkeypatch)
    output = refused(program, *words(tmp_path), "model.weights=hub")
    assert "cannot be downloaded (no route to host); download https://huggingface.co/timm/test_efficientnet" in output
    assert "type model.weights=/path/to/model.safetensors" in output


def test_one_label_per_class_is_enough(program: Program, tmp_path: Path) -> None:
    file = toy_weights(tmp_path / "toy.pth")
    typed = [*words(tmp_path), f"model.weights={file}", "dataset.labels_per_class=1", "method=fixmatch"]
    for more in ((), ("model.freeze=none", "train.head_first=0.5", "train.accumulate=2", "name=all")):
        status, output = program(*typed, *more)
        assert status == 0, output
