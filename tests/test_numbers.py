"""Numbers that are none stop the run at their step, settings that cannot be are said at the door, and memory that runs
out is said with what to try."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from semisup.config import schema
from semisup.core.events import StepEnd
from semisup.errors import DivergedError, InsufficientMemoryError, SettingError
from semisup.record import checkpoint
from semisup.runner import compatibility, run
from semisup.runner.out_of_memory import translate_oom
from semisup.runner.progress import Bars
from semisup.training.loop import train
from semisup.training.state import start
from tests.conftest import checked, compose, toy_problem

SMALL = ("model.widths=[4,8]", "train.batch_size=6", "train.steps=8", "device=cpu", "tracking=none", "plots=false")


class BackwardNaN(torch.autograd.Function):
    """x, whose gradient is not a number: as of sqrt at 0."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0] * float("nan")


class Poisoned(nn.Module):
    """A network that is well until it has been trained on `after` batches."""

    def __init__(self, network: nn.Module, how: str, after: int) -> None:
        super().__init__()
        self.network, self.how, self.after, self.seen = network, how, after, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(images)
        self.seen += self.training and torch.is_grad_enabled()
        if not self.training or self.seen <= self.after:
            return logits
        if self.how == "gradient":
            return BackwardNaN.apply(logits)
        return logits * float(self.how)


@dataclass(frozen=True)
class Poisoning:
    inner: Any
    how: str
    after: int
    name: ClassVar[str] = "poisoned"

    def build(self, *given: Any, **named: Any) -> nn.Module:
        return Poisoned(self.inner.build(*given, **named), self.how, self.after)


@pytest.mark.parametrize("how", ["gradient", "nan", "inf"])
@pytest.mark.parametrize("method", ["supervised", "fixmatch", "mean_teacher"])
def test_what_is_not_finite_stops_the_run_at_its_step_and_is_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, how: str
) -> None:
    """The gradient's loss is finite: without a look at it, a state full of NaN would be the newest."""
    words = (f"output_root={tmp_path}", f"method={method}", "train.ema_decay=0.5", "checkpoint.every_steps=1")
    config = checked(*SMALL, *words)
    object.__setattr__(config.settings, "model", Poisoning(config.settings.model, how, 3))
    data = data_of(toy_problem(labeled=12, unlabeled=18))
    monkeypatch.setattr(run, "load_data", lambda *_: data)
    outcome = run.run(config, Bars(), in_sweep=False)
    assert (outcome.status, outcome.exit_code) == ("diverged", 3)
    assert "the loss or a gradient of step 4 is not finite" in outcome.message
    assert json.loads((outcome.folder / "run.json").read_text())["status"] == "diverged"
    state, _ = checkpoint.load_state(outcome.folder / "checkpoints") or ({}, {})
    assert state["step"] == 3
    assert all(torch.isfinite(value).all() for value in state["student"].values())
    assert all(torch.isfinite(value).all() for value in state["average"].values())


def data_of(problem: Any) -> Any:
    from semisup.dataset import Data

    images = (problem.labeled, problem.unlabeled, problem.validation, problem.test)
    return problem, Data(*images, problem.hidden_targets, ("one", "two", "three"), "made up", {})


@pytest.mark.parametrize("method", ["fixmatch", "mean_teacher", "self_training", "noisy_student", "mixmatch", "uda"])
def test_a_teacher_that_says_no_number_stops_the_run(method: str) -> None:
    """argmax of NaN is class 0, and NaN passes no threshold: a run on labels alone that says nothing."""
    gate = ["method.gate=0"] if method in ("self_training", "noisy_student") else []
    settings = checked(*SMALL, f"method={method}", "train.ema_decay=0.5", *gate).settings
    problem = toy_problem(labeled=12, unlabeled=18)
    state = start(problem, settings)
    assert state.average is not None
    with pytest.raises(DivergedError):
        for number, event in enumerate(train(problem, settings, state)):
            if number == 0:
                assert isinstance(event, StepEnd)
                with torch.no_grad():
                    next(state.average.parameters()).fill_(float("nan"))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["optimizer.lr=-0.1"], "optimizer.lr=-0.1: must be"),
        (["optimizer.lr=nan"], "optimizer.lr=nan: must be a finite number"),
        (["train.epochs=0"], "train.epochs=0: must be at least 1"),
        (["train.batch_size=0"], "train.batch_size=0: must be at least 1"),
        (["threshold.tau=-0.1"], "threshold.tau=-0.1: must be in [0, 1]"),
        (["threshold.tau=1e999"], "threshold.tau="),
        (["augment.strength=1.5"], "augment.strength=1.5: must be in [0, 1]"),
        (["method=fixmatch", "method.ratio=0"], "method.ratio=0: must be at least 1"),
        (["seed=-1"], "seed=-1: must be in [0, 4294967295]"),
        (["seed=4294967296"], "seed=4294967296: must be in [0, 4294967295]"),
        (["model.widths=[]"], "model.widths"),
        (["model.widths=[0]"], "model.widths"),
    ],
)
def test_what_cannot_be_is_said_at_the_door(overrides: list[str], said: str) -> None:
    with pytest.raises(SettingError) as caught:
        schema.validate(compose("tracking=none", *overrides))
    assert said in str(caught.value)


@pytest.mark.parametrize("widths", ["[1000000000]", "[4,1000000000000]", "[2000000,2000000]", "[9223372036854775807]"])
def test_a_model_that_no_machine_holds_is_said_at_the_door(widths: str) -> None:
    config = checked(*SMALL[1:], f"model.widths={widths}")
    counts = {"labeled": 40, "unlabeled": 9, "validation": 9, "test": 9}
    with pytest.raises(SettingError, match=r"model=small_cnn: (its weights .* GB of memory|cannot be built)"):
        compatibility.check_compatibility(config, list("abcdefghij"), counts, 1)


def test_images_that_no_machine_holds_are_said_at_the_door() -> None:
    counts = {"labeled": 10**9, "unlabeled": 0, "validation": 9, "test": 9}
    with pytest.raises(SettingError, match=r"dataset\.size=8: the images take 64 GB of memory"):
        compatibility.check_compatibility(checked(*SMALL, "method=supervised"), list("ab"), counts, 1)


@pytest.mark.parametrize(
    ("overrides", "counts", "said"),
    [
        ([], {"validation": 0}, "has no validation images"),
        ([], {"unlabeled": 0}, "needs unlabeled images, but the data set has none"),
    ],
)
def test_sets_that_are_too_small_are_said_at_the_door(overrides: list[str], counts: dict[str, int], said: str) -> None:
    sizes = {"labeled": 40, "unlabeled": 9, "validation": 9, "test": 9} | counts
    with pytest.raises(SettingError) as caught:
        compatibility.check_compatibility(checked("device=cpu", *overrides), list("abc"), sizes, 1)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("size mismatch"), False),
    ],
)
def test_every_way_to_say_that_memory_is_short_is_known(error: Exception, short: bool) -> None:
    config = checked(*SMALL)
    with pytest.raises(RuntimeError) as caught, translate_oom(config):
        raise error
    assert isinstance(caught.value, InsufficientMemoryError) == short
    advice = "try train.batch_size=3 train.eval_batch_size=128, or train.accumulate=2, which computes the same batch"
    assert (advice in str(caught.value)) == short


@pytest.mark.parametrize("override", ["compile=true", "train.batch_size=3", "train.accumulate=2"])
def test_accumulation_is_not_proposed_where_it_is_refused_or_has_no_effect(override: str) -> None:
    config = checked(*SMALL, override)
    with pytest.raises(InsufficientMemoryError) as caught, translate_oom(config):
        raise MemoryError
    assert "train.batch_size=" in str(caught.value)
    assert "accumulate" not in str(caught.value)


def test_memory_that_runs_out_in_reading_or_saving_is_not_the_batches(tmp_path: Path) -> None:
    """Really: the pixels, and then a checkpoint, are more than there is."""
    code = """
import resource, sys
from semisup.runner import run as run_module
from semisup.runner.progress import Bars
from semisup.record import checkpoint
from tests.conftest import checked
from tests.dataset.test_duplicates import photograph
from pathlib import Path
root = Path(sys.argv[1])
for number, place in enumerate(f"{part}/{name}/{each}" for part in ("training/labeled", "validation")
                               for name in "ab" for each in range(4)):
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    photograph(number).save(root / f"{place}.png")
settings = ["dataset=folder", f"dataset.root={root}", "dataset.unlabeled=null", "method=supervised", "device=cpu",
            "plots=false", "dataset.workers=1", "train.steps=2", "train.batch_size=4", f"output_root={root / 'out'}"]
def limit(spare):
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + spare, resource.getrlimit(resource.RLIMIT_AS)[1]))
from semisup.runner import data as run_data
fit = run_data.check_compatibility
def fitted(*given, **named):
    fit(*given, **named)
    limit(10_000_000)
run_data.check_compatibility = fitted
large = checked(*settings, "dataset.size=1024", "name=reading", "model.widths=[4]")
tight = run_module.run(large, Bars(), in_sweep=False)
print(tight.status, tight.message)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
run_data.check_compatibility = fit
checkpoint.save = lambda *_: bytearray(2**60)
small = checked(*settings, "dataset.size=32", "name=saving", "model.widths=[4]")
tight = run_module.run(small, Bars(), in_sweep=False)
print(tight.status, tight.message)
"""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stdout + done.stderr
    assert lines[0].startswith("failed out of memory ("), lines
    assert lines[0].endswith("try dataset.size=512 or dataset.memory_gb=0, which leaves the pixels in dataset.cache")
    assert lines[1].startswith("failed out of memory ("), lines
    assert "while a checkpoint was written" in lines[1]
    assert "batch_size" not in done.stdout
    assert "Traceback" not in done.stderr


def test_memory_that_runs_out_is_said_with_what_to_try(tmp_path: Path) -> None:
    """Really: the process may have 100 MB more than it has when training begins, and a batch wants more."""
    code = """
import resource, sys
from semisup.config import schema
from semisup.runner import compatibility
from semisup.runner import run as run_module
from semisup.runner.progress import Bars
from tests.conftest import checked
from tests.conftest import toy_problem
from tests.test_numbers import data_of
config = checked("model.widths=[64,64]", "train.batch_size=256", "train.steps=4", "device=cpu", "plots=false",
                 "method=supervised", "output_root=" + sys.argv[1])
data = data_of(toy_problem(labeled=256, unlabeled=4, size=64))
run_module.load_data = lambda *_: data
begin = run_module.start
def limited(*given):
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 100_000_000,) * 2)
    return begin(*given)
run_module.start = limited
outcome = run_module.run(config, Bars(), in_sweep=False)
print(outcome.status, outcome.exit_code, outcome.message)
"""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("failed 1 out of memory ("), done.stdout + done.stderr
    assert "try train.batch_size=128 train.eval_batch_size=128" in done.stdout
    assert "Traceback" not in done.stderr
    (about,) = tmp_path.glob("runs/*/run.json")
    assert json.loads(about.read_text())["error"]["kind"] == "InsufficientMemoryError"
