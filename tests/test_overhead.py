"""Overhead of a step, counted and not timed: Python calls, device synchronizations, page faults and imports."""

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from semisup.augment import Augment
from semisup.core.eager_optimizer import without_dynamo
from semisup.core.events import Finished, StepEnd
from semisup.core.rng import torch_generator
from semisup.core.sampling import permutation
from semisup.dataset.digits import load_digits_csv
from semisup.runtime import determinism
from semisup.training.loop import train
from semisup.training.state import start
from tests.conftest import checked, choose, options, toy_images, toy_problem


def calls(work: Callable[[], object]) -> int:
    """How often `work` calls a function, of Python or of C, as far as Python's interpreter sees it; not what is called
    when it happens to collect what others left."""
    count = 0
    gc.disable()

    def seen(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


@pytest.mark.parametrize("name", options("augment"))
def test_augmentation_call_count_is_independent_of_the_number_of_images(name: str) -> None:
    """Of RandAugment: once each of its operations is some image's; fewer images have fewer of them."""
    augment: Augment = checked(*choose("augment", name, strength=1 if name != "none" else 0)).settings.augment
    fewest, few, many = (toy_images(number, 3, channels=3, size=16).pixels for number in (8, 128, 512))
    augment.apply(few, torch_generator(0))  # what is made once
    assert calls(lambda: augment.apply(few, torch_generator(0))) == calls(
        lambda: augment.apply(many, torch_generator(0))
    )
    assert calls(lambda: augment.apply(fewest, torch_generator(0))) <= calls(
        lambda: augment.apply(few, torch_generator(0))
    )


@pytest.mark.parametrize("name", options("method"))
def test_step_call_count_is_independent_of_the_batch_size(name: str) -> None:
    """Three epochs at two batch sizes, and as many batches of each."""
    eager = choose("method", name, gate=0, refresh_every=1, ratio=1)

    def counts(batch: int) -> list[int]:
        permutation.cache_clear()  # an order that is remembered is not made again
        words = [f"train.batch_size={batch}", "train.epochs=3", "threshold.tau=0", "train.ema_decay=0.9"]
        config = checked(*eager, *words, "model.widths=[8,8]", "augment=crop_rotate")
        problem = toy_problem(labeled=2 * batch, unlabeled=4 * batch)
        events, found, seen = train(problem, config.settings, start(problem, config.settings)), [], [None]
        while not isinstance(seen[0], Finished):
            count = calls(lambda: seen.__setitem__(0, next(events)))  # type: ignore[call-overload]
            if isinstance(seen[0], StepEnd):
                found.append(count)
        return found

    counts(4)  # what is made once
    few, many = counts(4), counts(16)
    assert len(few) >= 6
    if any(word.startswith("method.refresh_every") for word in eager):
        assert few == many
    else:  # labeled images that are among the unlabeled ones of a step are gathered apart: 28 calls more
        assert min(few) == min(many)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["supervised", "self_training", "mixmatch", "mean_teacher"])
def test_steps_do_not_synchronize_the_device(name: str) -> None:
    """`skip_rejected` looks at what is kept, and must wait: it is off here."""
    words = choose("method", name, skip_rejected="false")
    config = checked(*words, "train.ema_decay=0.9", "train.batch_size=4", "train.epochs=3", "device=cuda")
    problem = toy_problem(labeled=16)
    on_device = type(problem)(
        *(
            each.to(torch.device("cuda"))
            for each in (problem.labeled, problem.unlabeled, problem.validation, problem.test)
        ),
        problem.hidden_targets,
        problem.num_classes,
        torch.device("cuda"),
    )
    events = train(on_device, config.settings, start(on_device, config.settings))
    next(events)
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert isinstance(next(events), StepEnd)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_run_does_not_import_unneeded_libraries(tmp_path: Path) -> None:
    code = """
import sys
from semisup.__main__ import main
sys.argv = ["semisup", "train", "train.steps=1", "plots=false", "tracking=none", f"output_root={sys.argv[1]}"]
assert main() == 0
heavy = ("torch._dynamo", "torch._inductor", "sympy", "sklearn", "scipy", "matplotlib.axes", "torchvision")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_freed_memory_is_reused() -> None:
    """Without `keep_memory` each of these tensors is 12,288 new pages."""
    code = """
import resource, torch
from semisup.runtime.determinism import keep_freed_memory
keep_freed_memory()
def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.zeros(48 * 2**20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(20)
print(faults(8))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8 * 12_288 / 10


def test_deterministic_algorithms_are_enabled_without_filling_memory() -> None:
    torch.use_deterministic_algorithms(False)
    determinism.use_deterministic_algorithms()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    with pytest.raises(RuntimeError, match="deterministic"):
        torch.zeros(4).put_(torch.tensor([0]), torch.tensor([1.0]), accumulate=False)


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.1, "fused": True}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "fused": True}),
    ],
)
def test_undecorated_optimizer_is_bit_identical_to_torch(
    optimizer: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    def learned(kind: Any) -> tuple[torch.Tensor, dict[str, Any]]:
        torch.manual_seed(0)
        model = nn.Linear(5, 3)
        made = kind(model.parameters(), **settings)
        for number in range(4):
            made.zero_grad(set_to_none=True)
            (model(torch.full((2, 5), number + 1.0)) ** 2).sum().backward()
            made.step()
            made.load_state_dict(made.state_dict())
        return torch.cat([each.detach().flatten() for each in model.parameters()]), made.state_dict()

    (ours, state), (theirs, expected) = learned(without_dynamo(optimizer)), learned(optimizer)
    assert torch.equal(ours, theirs)
    assert state["param_groups"] == expected["param_groups"]


def test_undecorated_optimizer_has_no_profiler_label_and_refuses_hooks() -> None:
    def labels(kind: Any) -> list[str]:
        optimizer = kind([nn.Parameter(torch.ones(2))], lr=0.1)
        with torch.autograd.profiler.profile() as profile:
            optimizer.step()
        return [event.name for event in profile.function_events if event.name.startswith("Optimizer.step")]

    kind = without_dynamo(torch.optim.SGD)
    assert labels(torch.optim.SGD) == ["Optimizer.step#SGD.step"]
    assert labels(kind) == []
    optimizer = kind([nn.Parameter(torch.ones(2))], lr=0.1)
    for register in (optimizer.register_step_pre_hook, optimizer.register_step_post_hook):
        with pytest.raises(NotImplementedError, match=r"SGD\.step calls no hooks"):
            register(lambda *_: None)


def test_digits_equal_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    images, targets = load_digits_csv()
    digits = load_digits()
    assert (images == digits.images).all()
    assert (targets == digits.target).all()
