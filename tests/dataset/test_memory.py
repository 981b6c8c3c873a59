"""Test images on disk: results equal those in memory, and a step neither synchronizes nor loops over images."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from semisup.config import schema
from semisup.core import inference
from semisup.core.events import StepEnd
from semisup.core.inference import iter_logits
from semisup.errors import SettingError
from semisup.images.on_disk import LazyImages
from semisup.method import Position, unlabeled_batch
from semisup.runner import data as run_data
from semisup.runtime.precision import wrap_forward
from semisup.training.state import make_context, start
from semisup.training.step import training_step
from tests.conftest import checked, choose, combinations, compose, options, prepared, toy_problem
from tests.test_independence import of, photos, run
from tests.training.test_loop import everything, resumed_at, same_weights, settings

__all__ = ["photos"]


def problem_of(photos: Path, memory_gb: str, *more: str) -> Any:
    one = schema.validate(compose(*of(photos, "any", photos.parent / "cache"), *more, f"dataset.memory_gb={memory_gb}"))
    data = one.dataset.read(one.dataset.inspect(), lambda items, *_: items)
    return run_data.build_problem(one, data)


@pytest.mark.parametrize("method", options("method"))
def test_every_method_gives_the_same_results_from_images_on_disk(photos: Path, method: str) -> None:
    resident = problem_of(photos, "null", "dataset.labels_per_class=4")
    from_disk = problem_of(photos, "5e-6", "dataset.labels_per_class=4")
    assert isinstance(resident.unlabeled.pixels, torch.Tensor)
    assert isinstance(from_disk.unlabeled.pixels, LazyImages)
    assert isinstance(from_disk.labeled.pixels, torch.Tensor), "12 images are below the limit"
    assert len(from_disk.unlabeled) == 36 + 6
    chosen = settings("threshold.tau=0.3", method=method, epochs=3)
    rows, weights, end = everything(resident, chosen)
    from_file, other_weights, other_end = everything(from_disk, chosen)
    assert from_file == rows
    assert same_weights(weights, other_weights)
    assert other_end == end
    assert resumed_at(2, StepEnd, from_disk, chosen)[0] == rows


def test_run_with_images_on_disk_is_bit_identical(photos: Path) -> None:
    resident = run(*of(photos, "resident", photos.parent / "cache"))
    assert len(resident["metrics.jsonl"]) >= 3
    for number, limit in enumerate(("0", "5e-6")):
        words = of(photos, f"stored{number}", photos.parent / "cache")
        assert (
            run(*words, f"dataset.memory_gb={limit}", "plots=true").items()
            >= {name: content for name, content in resident.items() if not name.startswith("plots")}.items()
        )
    assert (
        schema.validate(compose(*of(photos, "a"), "dataset.memory_gb=3")).id
        == schema.validate(compose(*of(photos, "a"))).id
    )


def test_memory_limit_without_a_cache_is_refused(photos: Path) -> None:
    one = schema.validate(compose(*of(photos, "any"), "dataset.memory_gb=5e-6"))
    with pytest.raises(SettingError, match=r"dataset\.cache=null: must be a folder, because the decoded images"):
        one.dataset.read(one.dataset.inspect(), lambda items, *_: items)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_large_images_are_predicted_in_small_batches_bit_identically(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    chosen = checked("model.widths=[8,16]", f"precision={precision}", "device=cpu")
    pixels = torch.randint(0, 256, (46, 3, 32, 32), dtype=torch.uint8)
    model = chosen.settings.model.build(3, 10, 32)
    wrap_forward(model, precision, torch.device("cpu"), channels_last=True, compile=False)
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _, images: seen.append(len(images[0])))
    whole = list(iter_logits(model, pixels, 25))
    monkeypatch.setattr(inference, "MAX_PIXELS_PER_PASS", 10 * 32**2)
    parts = list(iter_logits(model, pixels, 25))
    assert seen == [25, 21, 9, 8, 8, 7, 7, 7], "of 21 none is left alone, which would have other bits"
    assert [len(each) for each in parts] == [25, 21]
    assert torch.equal(torch.cat(whole), torch.cat(parts))


class Counting(TorchDispatchMode):
    """Counter of torch operations, and of those that would wait for a device."""

    WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique")

    def __init__(self) -> None:
        super().__init__()
        self.all, self.waiting = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put_") and any(
            each is not None and each.dtype == torch.bool for each in args[1]
        )
        self.all += 1
        self.waiting += by_mask or any(word in name for word in self.WAITING)
        return func(*args, **(kwargs or {}))


def counted(method: str, policy: str, ratio: int) -> tuple[int, int]:
    """Count the operations of a step, and those that wait, without drawing the batch, which is done on the CPU."""
    chosen = [
        *choose("method", method, ratio=ratio, gate=0, skip_rejected=False),
        *choose("threshold", policy, warmup_epochs=0),
    ]
    chosen += ["augment=randaugment", "train.ema_decay=0.9", "model.widths=[4,8]", "train.batch_size=4"]
    one, problem = checked(*chosen).settings, toy_problem(unlabeled=90, channels=3)
    state = start(problem, one)
    learner = make_context(problem, one, state)
    state.memory = prepared(one.method, learner, state.memory)
    training_step(learner, one, state, Position(0, 0, 0, 0.0))
    with Counting() as drawing:
        learner.labeled_batch(Position(1, 0, 1, 0.1), one.weak)
        if method != "self_training":
            unlabeled_batch(learner, Position(1, 0, 1, 0.1), ratio)
    with Counting() as whole:
        training_step(learner, one, state, Position(1, 0, 1, 0.1))
    return whole.all, whole.waiting - drawing.waiting


@pytest.mark.parametrize(
    ("method", "policy"),
    combinations(
        [each for each in options("method") if each not in ("supervised", "noisy_student")], options("threshold")
    ),
)
def test_step_on_stored_images_does_not_synchronize(method: str, policy: str) -> None:
    assert counted(method, policy, 3)[1] == 0


def test_synchronizations_are_counted() -> None:
    with Counting() as seen:
        float(torch.ones(3).sum())
        torch.ones(3)[torch.ones(3) > 0]
        torch.ones(3).nonzero()
    assert seen.waiting == 3


def test_number_of_operations_of_a_step_does_not_grow_with_its_images() -> None:
    """Use a batch in which every operation of RandAugment occurs, because others are not computed."""
    assert counted("fixmatch", "fixed", 90)[0] == pytest.approx(counted("fixmatch", "fixed", 30)[0], abs=12)
    assert counted("fixmatch", "fixed", 3)[0] < counted("fixmatch", "fixed", 30)[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_step_on_a_gpu_does_not_synchronize() -> None:
    one = checked("method=fixmatch", "method.skip_rejected=false", "device=cuda", "augment=randaugment").settings
    device = torch.device("cuda")
    small = toy_problem(labeled=20, channels=3)
    problem = type(small)(
        **{split: getattr(small, split).to(device) for split in ("labeled", "unlabeled", "validation", "test")},
        hidden_targets=small.hidden_targets,
        num_classes=small.num_classes,
        device=device,
    )
    state = start(problem, one)
    learner = make_context(problem, one, state)
    training_step(learner, one, state, Position(0, 0, 0, 0.0))
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in (1, 2, 3):
            training_step(learner, one, state, Position(step, step, 0, 0.1))
    finally:
        torch.cuda.set_sync_debug_mode("default")
