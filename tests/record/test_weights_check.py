"""Weights with which a model cannot compute are refused, and the tensor is named."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from semisup.errors import RecordError
from semisup.record import checkpoint
from semisup.record.weights_check import check_snapshot, check_weights
from tests.conftest import Program

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run-0.1.0"


def set_first(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[0] = value
        return tensor

    return change


HARMS = [
    ("0.weight", set_first(float("nan")), "has values that are NaN or infinite"),
    ("1.bias", set_first(float("inf")), "has values that are NaN or infinite"),
    ("1.running_mean", set_first(float("-inf")), "has values that are NaN or infinite"),
    ("1.running_var", set_first(-1e-3), "has a negative variance"),
    ("0.weight", lambda tensor: tensor.double(), "has dtype float64, but the model has float32"),
    ("0.weight", lambda tensor: tensor.to(torch.complex64), "has dtype complex64, but the model has float32"),
    ("0.weight", lambda tensor: tensor.int(), "has dtype int32, but the model has float32"),
]


@pytest.mark.parametrize(("name", "harm", "problem"), HARMS)
def test_tensor_is_named(name: str, harm: Callable[[Tensor], Tensor], problem: str) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).state_dict()
    check_weights(Path("whole.pt"), dict(model), model)
    bad = dict(model) | {name: harm(model[name])}
    with pytest.raises(RecordError, match=f"the tensor {name} {problem}"):
        check_weights(Path("bad.pt"), bad, model)
    snapshot = {"student": dict(model), "average": {}, "best": {"weights": bad}}
    with pytest.raises(RecordError, match=name):
        check_snapshot(Path("bad.pt"), snapshot, model)


@pytest.mark.parametrize(("part", "value"), [("running_var", -1.0), ("weight", float("nan"))])
def test_predict_refuses_them(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, value: float
) -> None:
    """The file is whole by its digest, and answered `nan` before."""
    shutil.copytree(FIXTURE, tmp_path / "sent")
    Image.new("L", (8, 8), 90).save(tmp_path / "one.png")
    (path,) = (tmp_path / "sent" / "checkpoints").glob("best-*.pt")
    content = checkpoint.load(path)
    name = next(each for each in content["weights"] if each.rpartition(".")[2] == part)
    content["weights"][name] = set_first(value)(content["weights"][name])
    path.unlink()
    saved = checkpoint.save(path.parent, "best", content["step"], content)
    assert hashlib.sha256(saved.read_bytes()).hexdigest()[:16] in saved.name
    status, output = program("predict", "sent", ".")
    assert status == 2
    assert f"the tensor {name} has" in output
    assert "nan" not in output.partition("the tensor")[0]
