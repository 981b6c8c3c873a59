"""Precision, layout, compilation, determinism: each does what it says, and a run under it repeats and resumes."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from semisup.config import schema
from semisup.core.events import StepEnd
from semisup.errors import SettingError
from semisup.runner import compatibility, run
from semisup.runner.metadata import initial_metadata
from semisup.runner.progress import Bars
from semisup.runtime.precision import configure_torch, wrap_forward
from tests.conftest import checked, compose, toy_problem
from tests.training.test_loop import everything, resumed_at, same_weights, settings


@dataclasses.dataclass(frozen=True)
class Small:
    """A model that is compiled in seconds; `compile` is the model's own business here: it counts compilations."""

    def build(self, channels: int, num_classes: int, size: int, *, pretrained: bool = True) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, num_classes))


def one_run(**more: Any) -> Any:
    chosen = settings("train.eval_batch_size=24", method="supervised", epochs=3)
    return dataclasses.replace(chosen, model=Small(), **more)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, of what it imports to compile
@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")  # by this release of Python
def test_compiled_run_repeats_and_resumes_bit_identically() -> None:
    import torch._dynamo

    torch._dynamo.reset()
    problem, chosen = toy_problem(), one_run(compile=True)
    counters = torch._dynamo.utils.counters
    counters.clear()
    rows, weights, end = everything(problem, chosen)
    assert counters["stats"]["unique_graphs"] >= 2, "training and evaluation"
    torch._dynamo.reset()  # as in another process
    again_rows, again_weights, again_end = resumed_at(7, StepEnd, problem, chosen)
    assert (again_rows, again_end) == (rows, end)
    assert same_weights(again_weights, weights)
    eager_rows, _, _ = everything(problem, one_run())
    for row, eager in zip(rows, eager_rows, strict=True):
        assert row["val/loss"] == pytest.approx(eager["val/loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("able", "found"),
    [
        ({"architecture": "x86_64", "avx512_bf16": True}, "bfloat16"),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, "bfloat16"),
        ({"architecture": "x86_64", "avx2": True, "avx512_f": True, "avx512_bf16": False}, "float32"),
    ],
)
def test_auto_precision_is_bfloat16_if_the_cpu_has_instructions_for_it(
    able: dict[str, Any], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    auto, named = checked("device=cpu", "precision=auto"), checked("device=cpu", f"precision={found}")
    assert auto.config["precision"] == auto.settings.precision == found
    assert auto.id == named.id
    assert schema.validate(auto.config).config == auto.config, "the saved config says which"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("model=timm", "model.architecture=tf_efficientnet_lite0"), "float32"),
        (("model=timm", "model.architecture=tf_efficientnet_lite0", "model.freeze=encoder"), "bfloat16"),
        (("model=timm", "model.architecture=convnext_atto"), "bfloat16"),
        (("model=timm", "model.architecture=resnet18"), "bfloat16"),
        (("model=torchvision", "model.architecture=mobilenet_v3_small"), "float32"),
        (("model=torchvision", "model.architecture=resnet18"), "bfloat16"),
        (("model=wide_resnet",), "bfloat16"),
        (("model=mlp",), "bfloat16"),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, tuple) else each,
)
def test_auto_precision_is_float32_for_networks_that_train_depthwise_convolutions_on_a_cpu(
    overrides: tuple[str, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    auto = checked("device=cpu", "precision=auto", *overrides)
    assert auto.config["precision"] == auto.settings.precision == expected
    assert auto.precision_reason is not None
    assert ("depthwise" in auto.precision_reason) == (expected == "float32")
    named = checked("device=cpu", f"precision={expected}", *overrides)
    assert (named.id, named.precision_reason) == (auto.id, None)
    assert initial_metadata(auto, None)["precision_reason"] == auto.precision_reason
    again = schema.validate(auto.config)
    assert again.config == auto.config


@pytest.mark.parametrize(("native", "found"), [(True, "bfloat16"), (False, "float32")])
def test_auto_precision_is_bfloat16_if_the_gpu_supports_it_natively(
    native: bool, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert checked("precision=auto").config["device"] == "cuda"
    assert checked("device=cuda:1", "precision=auto").config["precision"] == found


def test_compile_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        SettingError, match="compile=true: needs a C\\+\\+ compiler, but no-such-compiler is not installed"
    ):
        checked("compile=true", "device=cpu")


def test_number_of_compilations_per_round_is_reported() -> None:
    def check(*words: str) -> None:
        counts = {"labeled": 9000, "unlabeled": 9, "validation": 9}
        compatibility.check_compatibility(checked("compile=true", "device=cpu", *words), ["a", "b"], counts, 1)

    with pytest.warns(
        UserWarning, match="method=noisy_student the last batch .* compiles once for each size, up to 9 times"
    ):
        check("method=noisy_student", "train.batch_size=8")
    with pytest.raises(SettingError, match=r"train\.batch_size=5000: must be at most 2047 with compile=true"):
        check("train.batch_size=5000")
    check("method=fixmatch", "method.skip_rejected=false")
    check("method.lambda_unlabeled=0")


@pytest.mark.parametrize(
    ("device", "processes", "said"),
    [
        ("cuda:1", 1, "must be cuda:0 on this machine"),
        ("cuda:0", 2, "torchrun started 2 processes, which need one GPU each; use device=cuda"),
        ("cuda", 2, "torchrun started 2 processes on this machine, which has 1 CUDA devices"),
    ],
)
def test_missing_or_shared_gpu_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: str, processes: int, said: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    if processes > 1:
        for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", "2"), ("LOCAL_WORLD_SIZE", "2")):
            monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=f"device={device}: {said}"):
        checked(f"device={device}", "precision=float32")
    checked("device=cuda" if processes == 1 else "device=cpu", "precision=float32")


@pytest.mark.parametrize("deterministic", [True, False])
def test_earlier_run_in_the_process_does_not_change_torch_settings(tmp_path: Path, deterministic: bool) -> None:
    configure_torch(2, deterministic=not deterministic)
    words = ("tracking=none", "plots=false", "model.widths=[4,8]", "train.steps=3", "device=cpu", "method=supervised")
    config = compose(*words, f"output_root={tmp_path}", f"deterministic={str(deterministic).lower()}")
    assert run.run(schema.validate(config), Bars(), in_sweep=False).status == "done"
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert torch.backends.cudnn.benchmark is not deterministic
    assert torch.backends.cudnn.allow_tf32 is not deterministic
    assert torch.backends.cuda.matmul.allow_tf32 is not deterministic
    assert torch.get_num_threads() == 1


def test_precision_and_layout_apply_to_the_instance_only() -> None:
    model, other = (nn.Conv2d(3, 4, 3) for _ in range(2))
    wrap_forward(model, "bfloat16", torch.device("cpu"), channels_last=True, compile=False)
    images = torch.rand(2, 3, 8, 8)
    assert model(images).dtype == torch.bfloat16
    assert model.weight.is_contiguous(memory_format=torch.channels_last)
    assert other(images).dtype == torch.float32
    assert other.weight.is_contiguous()
