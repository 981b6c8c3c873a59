"""On a GPU, which need not be there: no two devices meet, no step waits for it, and what it does is repeatable.

Where there is one, `test_overhead` and `test_resident` ask torch itself.
"""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from semisup.core.calibration import fit_temperature
from semisup.core.device import to_device
from semisup.core.ema import averaged_tensors, update_average
from semisup.errors import SettingError
from semisup.images.on_disk import LazyImages
from semisup.method import Position, TrainingContext
from semisup.method.label_propagation import LabelPropagation
from semisup.method.self_training import SelfTraining
from semisup.record import checkpoint, environment
from semisup.runner import compatibility, memory_check
from semisup.runner import data as run_data
from semisup.runtime.determinism import use_deterministic_algorithms
from semisup.runtime.precision import configure_torch
from semisup.training.evaluation import evaluate
from semisup.training.state import State, TrainingConfig, TrainingData, make_context, restore, start
from semisup.training.step import training_step
from tests.conftest import checked, choose, combinations, options, toy_problem
from tests.fake_gpu import DEVICE, FakeGpu, fake_gpu, is_unrepeatable

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # in copies of a model

SMALL = ("train.ema_decay=0.9", "model.widths=[4,8]", "train.batch_size=4", "channels_last=false")
FIRST, SECOND = Position(0, 0, 0, 0.0), Position(1, 0, 1, 0.1)


def there(problem: TrainingData) -> TrainingData:
    parts = {each: getattr(problem, each).to(DEVICE) for each in ("labeled", "unlabeled", "validation", "test")}
    return replace(problem, **parts, device=DEVICE)


def begun(
    monkeypatch: pytest.MonkeyPatch, problem: TrainingData, *words: str, precision: str = "float32"
) -> tuple[TrainingConfig, State, TrainingContext]:
    """On a fake GPU, where a backward pass gives 0."""
    settings = checked(*SMALL, f"precision={precision}", *words).settings
    state = start(problem, settings)

    def backward(loss: Tensor) -> None:
        assert loss.device == DEVICE
        for each in state.student.parameters():
            each.grad = torch.zeros_like(each)

    monkeypatch.setattr(Tensor, "backward", backward)
    return settings, state, make_context(problem, settings, state)


def two_steps(monkeypatch: pytest.MonkeyPatch, *words: str, precision: str = "float32") -> FakeGpu:
    with fake_gpu(monkeypatch) as gpu:
        problem = there(toy_problem(unlabeled=90, channels=3))
        settings, state, learner = begun(monkeypatch, problem, *words, precision=precision)
        if isinstance(
            settings.method, LabelPropagation
        ):  # whose labels wait for the device once, before the first step
            count = len(problem.unlabeled) + len(problem.labeled)
            state.memory["propagated"] = torch.full(
                (count, problem.num_classes), 1 / problem.num_classes, device=DEVICE
            )
        gpu.waits.clear()
        for place in (FIRST, SECOND):
            training_step(learner, settings, state, place)
    return gpu


@pytest.mark.parametrize(
    ("method", "policy"),
    combinations([each for each in options("method") if each != "noisy_student"], options("threshold")),
)
def test_a_step_stays_on_its_device_and_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, method: str, policy: str
) -> None:
    words = [
        *choose("method", method, ratio=3, skip_rejected=False),
        *choose("threshold", policy, warmup_epochs=0),
        "augment=randaugment",
    ]
    gpu = two_steps(monkeypatch, *words)
    assert gpu.waits == []
    assert gpu.unrepeatable == []


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in ("loss", "debias") for name in options(group)])
def test_step_with_every_loss_and_debiasing_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, group: str, name: str
) -> None:
    words = choose(group, name, unlabeled="estimate")
    gpu = two_steps(monkeypatch, "method=fixmatch", "method.ratio=3", "method.skip_rejected=false", *words)
    assert gpu.waits == []
    assert gpu.unrepeatable == []


@pytest.mark.parametrize("method", ["fixmatch", "uda", "mean_teacher"])
def test_to_look_at_what_is_kept_a_step_waits_once(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    words = choose("method", method, ratio=3, skip_rejected=True, ema_teacher=True)
    assert two_steps(monkeypatch, *words, "augment=randaugment").waits == ["nonzero"] * 2


@pytest.mark.parametrize("augment", [each for each in options("augment") if each != "none"])
def test_every_augmentation_is_made_there(monkeypatch: pytest.MonkeyPatch, augment: str) -> None:
    gpu = two_steps(monkeypatch, "method=fixmatch", "method.skip_rejected=false", f"augment={augment}")
    assert gpu.waits == gpu.unrepeatable == []


@pytest.mark.parametrize("optimizer", options("optimizer"))
def test_every_optimizer_steps_there_in_bfloat16_too(monkeypatch: pytest.MonkeyPatch, optimizer: str) -> None:
    words = ("method=supervised", f"optimizer={optimizer}", "train.ema_buffers=true")
    assert two_steps(monkeypatch, *words, precision="bfloat16").waits == []


def rounds(monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu, problem: TrainingData) -> list[str]:
    """Where a step on pseudo-labels waits, once the pool was labeled."""
    settings, state, learner = begun(monkeypatch, problem, "threshold=flexmatch", "labeler.calibrate=true")
    assert isinstance(settings.method, SelfTraining)
    relabeling = settings.method.relabel(learner, state.memory, FIRST)
    while True:
        try:
            next(relabeling)
        except StopIteration as end:
            state.memory = end.value
            break
    assert len(state.memory["index"]) == gpu.kept
    gpu.waits.clear()
    training_step(learner, settings, state, Position(3, 0, 3, 0.1))
    return gpu.waits


def test_the_pool_is_labeled_there_and_a_step_on_pseudo_labels_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with fake_gpu(monkeypatch, kept=6, said=1) as gpu:
        assert rounds(monkeypatch, gpu, there(toy_problem(channels=3))) == []


def test_a_pool_that_is_too_large_for_it_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = toy_problem(channels=3)
    pool = problem.unlabeled
    with fake_gpu(monkeypatch, kept=6, said=1) as gpu:
        assert isinstance(pool.pixels, Tensor)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * pool.pixels.nbytes - 1, 10**9))
        held = run_data.move_to_device(pool, DEVICE)
        assert isinstance(held.pixels, LazyImages)
        assert numpy.shares_memory(held.pixels.sources[0], pool.pixels.numpy())
        assert run_data.move_to_device(problem.validation, DEVICE).pixels.device == DEVICE
        gpu.waits.clear()
        assert held.pixels[torch.arange(4)].device == DEVICE
        assert gpu.waits == [], "a step's rows go through pinned memory"
        rounds(monkeypatch, gpu, replace(there(problem), unlabeled=held))


def test_an_evaluation_waits_at_its_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gpu(monkeypatch, kept=24) as gpu:
        problem = there(toy_problem(channels=3))
        _, state, _ = begun(monkeypatch, problem)
        gpu.waits.clear()
        looking = evaluate(state.teacher, problem.validation, 3, 5)
        for _ in range(5):
            next(looking)
        assert gpu.waits == gpu.unrepeatable == []
        with pytest.raises(StopIteration) as end:
            next(looking)
        found = end.value.value
        found.reliability(1.0), found.what_if(0.5), found.predictions(problem.validation)
        fit_temperature(found.logits, found.targets)


def test_a_state_is_saved_as_if_it_lay_on_the_processor_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with fake_gpu(monkeypatch):
        problem = there(toy_problem(channels=3))
        settings, state, learner = begun(monkeypatch, problem, "method=fixmatch", "threshold=freematch")
        training_step(learner, settings, state, FIRST)
        saved = checkpoint.save(tmp_path, "last", 1, state.snapshot())
        restore(state, checkpoint.load(saved))
        training_step(learner, settings, state, SECOND)
        assert {each.device for each in (*state.memory.values(), *state.student.state_dict().values())} == {DEVICE}


def test_tensors_of_one_type_are_averaged_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    student = checked("model.widths=[4,8]").settings.model.build(3, 10, 8)
    seen: list[set[torch.dtype]] = []
    plain = torch._foreach_copy_
    monkeypatch.setattr(torch, "_foreach_copy_", lambda to, of: (seen.append({x.dtype for x in to}), plain(to, of)))
    update_average(averaged_tensors(copy.deepcopy(student), student, statistics=False), 0.9)
    assert seen == [{torch.float32}, {torch.int64}]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda values: values + torch.ones(3),
        lambda values: values.index_select(0, torch.tensor([1])),
        lambda values: torch.cat((values, torch.ones(3))),
    ],
)
def test_the_fake_sees_two_devices_meet(monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Tensor], object]) -> None:
    with fake_gpu(monkeypatch), pytest.raises(RuntimeError, match="at least two devices"):
        wrong(to_device(torch.ones(3), DEVICE))


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        (lambda values: float(values.sum()), "_local_scalar_dense"),
        (lambda values: values[values > 0], "index"),
        (lambda values: values[torch.tensor([1])], "index"),
        (lambda values: values.nonzero(), "nonzero"),
        (lambda values: torch.tensor([1.0], device=values.device), "_to_copy"),
        (lambda values: values.cpu(), "_to_copy"),
        (lambda values: values.__setitem__(0, 1.0), "copy_"),
        (lambda values: torch.ones(3).to(values.device, non_blocking=True), "_to_copy"),
        (lambda values: torch.where(values > 0, values, torch.tensor(1.0)), "where"),
    ],
)
def test_the_fake_sees_a_wait(monkeypatch: pytest.MonkeyPatch, wait: Callable[[Tensor], object], said: str) -> None:
    with fake_gpu(monkeypatch) as gpu:
        values = to_device(torch.ones(3), DEVICE)
        assert gpu.waits == []
        wait(values)
        assert gpu.waits == [said]


# What a GPU refuses where sums are to be repeatable ------------------------------------------------------------------


class Unrepeatable(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.seen += [name] * is_unrepeatable(name, args)
        return func(*args, **(kwargs or {}))


def backward_pass(*words: str) -> list[str]:
    with torch.device("meta"):
        network = checked(*words).settings.model.build(3, 10, 64)
    with Unrepeatable() as found:
        network(torch.rand(2, 3, 64, 64, device="meta")).sum().backward()
    return found.seen


@pytest.mark.parametrize("model", options("model"))
def test_every_models_backward_pass_is_repeatable_there(model: str) -> None:
    assert backward_pass(f"model={model}") == []


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 GB, as far as it is asked."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    properties = type("Properties", (), {"total_memory": 80 * 10**9})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)


COUNTS = {"labeled": 40, "unlabeled": 90, "validation": 9, "test": 9}


@pytest.mark.usefixtures("one_gpu")
def test_a_model_whose_backward_pass_is_not_is_refused_at_the_door() -> None:
    words = ("model=torchvision", "model.architecture=alexnet", "dataset.size=64", "precision=float32")
    assert backward_pass(*words) == ["_adaptive_avg_pool2d_backward"]
    for allowed in ("device=cpu", "deterministic=false"):
        compatibility.check_compatibility(checked(*words, "device=cuda", allowed), list("ab"), COUNTS, 3)
    with pytest.raises(SettingError, match=r"not supported with alexnet on a GPU.*deterministic=false"):
        compatibility.check_compatibility(checked(*words, "device=cuda"), list("ab"), COUNTS, 3)


@pytest.mark.usefixtures("one_gpu")
def test_images_need_fit_in_the_processors_memory_alone_and_in_a_caches_file_not_even_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    many = COUNTS | {"unlabeled": 10**7}  # 123 GB at 64 pixels
    words = ("precision=float32", "model.widths=[4,8]", "dataset.size=64")
    folder = (*words, "dataset=folder", f"dataset.root={tmp_path}")
    monkeypatch.setattr(memory_check, "memory_limit_bytes", lambda: 512 * 10**9)
    compatibility.check_compatibility(checked(*words, "device=cuda"), list("ab"), many, 3)
    monkeypatch.setattr(memory_check, "memory_limit_bytes", lambda: 64 * 10**9)
    for device in ("cpu", "cuda"):
        compatibility.check_compatibility(checked(*folder, f"device={device}"), list("ab"), many, 3)
        with pytest.raises(SettingError, match=r"dataset\.size=64: the images take 123 GB of memory"):
            compatibility.check_compatibility(checked(*words, f"device={device}"), list("ab"), many, 3)
        with pytest.raises(SettingError, match="the images take 123 GB"):
            compatibility.check_compatibility(
                checked(*folder, "dataset.cache=null", f"device={device}"), list("ab"), many, 3
            )
    huge = checked(*folder, "dataset.size=4096", "train.batch_size=2000", "device=cuda")
    with pytest.raises(SettingError, match="the images of a step take 101 GB"):
        compatibility.check_compatibility(huge, list("ab"), many | {"labeled": 4000}, 3)
    online = checked(*folder, "dataset.size=4096", "train.batch_size=500", "method=fixmatch", "method.ratio=3")
    with pytest.raises(SettingError, match="the images of a step take 101 GB"):
        compatibility.check_compatibility(online, list("ab"), many | {"labeled": 4000}, 3)


def test_a_record_names_the_device_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the card {device}")
    asked = environment.environment
    found = asked("cuda:1")
    assert found["device"] == "the card cuda:1"
    assert set(found["driver"]) == {"cuda_of_driver", "cuda", "cudnn"}
    assert (asked("cpu")["device"], asked("cpu")["driver"]) == (None, None)


@pytest.mark.parametrize("begin", [use_deterministic_algorithms, partial(configure_torch, 1, deterministic=False)])
def test_cublas_is_told_to_be_repeatable_by_whoever_comes_first(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[[], None]
) -> None:
    """Also by a run that need not be: in the same process one that must be may follow."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    begin()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_the_parent_of_a_sweeps_children_never_asks_for_a_gpu(tmp_path: Path) -> None:
    """A process that did can have no child that uses one; without torch it cannot have. Here the child does nothing."""
    code = """
import sys
from semisup.__main__ import main
from semisup.sweep import runner
runner.run_in_subprocess = lambda work: (print("a child"), (1, None))[1]
sys.argv = ["semisup", "train", "-m", "threshold.tau=0.3,0.9", f"output_root={sys.argv[1]}"]
print(main(), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "a child" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(" False"), done.stdout
