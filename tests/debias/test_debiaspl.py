"""DebiasPL: the numbers of the authors' code, its use by the methods, and exact resuming."""

import copy
from typing import Any

import pytest
import torch

from semisup.config import schema
from semisup.config.controls import reference_configs
from semisup.config.run_id import run_id
from semisup.core.events import PoolLabeled, StepEnd
from semisup.core.losses import weighted_cross_entropy
from semisup.debias.debiaspl import DebiasPL
from semisup.errors import SettingError
from semisup.training.loop import train
from semisup.training.state import restore, start
from tests.conftest import checked, choose, combinations, options, toy_problem

WEAK = torch.tensor([[2.0, 1, 0], [3, 0, 0], [1, 1, 2], [2, 0, 1]])
STRONG = torch.tensor([[1.0, 2, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]])
METHODS = [name for name in options("method") if name not in ("supervised", "label_propagation")]


def test_debiaspl_gives_the_numbers_of_the_published_code() -> None:
    debias = DebiasPL(strength=0.4, momentum=0.5, margin_loss=True)
    memory = debias.init(3)
    first = (WEAK + debias.shift(memory)).softmax(dim=1)
    assert first[0].tolist() == pytest.approx([0.6652409, 0.2447284, 0.0900306], rel=1e-6), "the bias is still unknown"
    memory = debias.observe(WEAK, memory, whole=False)
    assert memory["p_hat"].tolist() == pytest.approx([0.4731500, 0.2406641, 0.2861860], rel=1e-6)
    second = (WEAK + debias.shift(memory)).softmax(dim=1)
    assert second[0].tolist() == pytest.approx([0.6069486, 0.2926122, 0.1004392], rel=1e-6)
    assert second[2].tolist() == pytest.approx([0.1774846, 0.2325925, 0.5899230], rel=1e-6)
    memory = debias.observe(WEAK, memory, whole=False)
    margin = debias.margin(memory)
    assert margin is not None
    loss = weighted_cross_entropy(STRONG + margin, torch.tensor([0, 0, 2, 0]), torch.tensor([1.0, 1, 0, 1]), 4)
    assert loss.item() == pytest.approx(0.9245219, rel=1e-6)


def test_debiaspl_uses_the_exact_mean_of_the_whole_unlabeled_set() -> None:
    debias = DebiasPL(strength=0.4, momentum=0.5, margin_loss=False)
    memory = debias.observe(WEAK, debias.init(3), whole=True)
    assert torch.equal(memory["p_hat"], WEAK.softmax(dim=1).mean(dim=0))
    assert debias.margin(memory) is None
    assert debias.observe(WEAK[:0], memory, whole=False) is memory
    certain = debias.observe(torch.tensor([[1e4, 0.0]]), debias.init(2), whole=True)
    assert torch.isfinite(debias.shift(certain)).all()  # type: ignore[arg-type]


# Runs -----------------------------------------------------------------------------------------------------------------


def words(method: str, policy: str, *more: str) -> list[str]:
    margin = f"debias.margin_loss={str(method not in ('mixmatch', 'mean_teacher')).lower()}"
    chosen = choose("method", method, gate=0, ramp=0, refresh_every=1)
    chosen += choose("threshold", policy, tau=0.3, warmup_epochs=0)
    debias = ["debias=debiaspl", "debias.strength=0.9", "debias.momentum=0.5", margin]
    small = ["model.widths=[8]", "train.batch_size=4", "optimizer.lr=0.01", "train.ema_decay=0.9", "train.epochs=3"]
    return [*chosen, *debias, *small, *more]


def run(overrides: list[str]) -> tuple[list[Any], Any]:
    config, problem = checked(*overrides), toy_problem()
    state = start(problem, config.settings)
    return [*train(problem, config.settings, state)], state


@pytest.mark.parametrize(("method", "policy"), combinations(METHODS, options("threshold")))
def test_debiaspl_changes_the_labels_of_every_method_with_every_policy(method: str, policy: str) -> None:
    events, state = run(words(method, policy))
    without, _ = run([word for word in words(method, policy) if not word.startswith("debias")])
    labels = [event.labels.confidence for event in events if isinstance(event, PoolLabeled)]
    plain = [event.labels.confidence for event in without if isinstance(event, PoolLabeled)]
    assert labels
    assert any(not torch.equal(one, other) for one, other in zip(labels, plain, strict=True))
    assert float(state.memory["debias/p_hat"].sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_resumed_run_with_debiaspl_and_estimate_is_bit_identical(method: str) -> None:
    estimate = ["loss=logit_adjustment", "loss.unlabeled=estimate"]
    overrides = words(method, "fixed", *(estimate if method not in ("mixmatch", "mean_teacher") else []))
    config, problem = checked(*overrides), toy_problem()
    state = start(problem, config.settings)
    for event in train(problem, config.settings, state):
        if isinstance(event, StepEnd) and event.step == 7:
            snapshot = copy.deepcopy(state.snapshot())
    resumed = start(problem, config.settings)
    restore(resumed, snapshot)
    for _ in train(problem, config.settings, resumed):
        pass
    assert not torch.equal(snapshot["memory"]["debias/p_hat"], state.memory["debias/p_hat"])
    assert state.memory.keys() == resumed.memory.keys()
    assert all(torch.equal(state.memory[name], resumed.memory[name]) for name in state.memory)
    pairs = zip(state.student.state_dict().values(), resumed.student.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_debiaspl_is_refused_where_it_has_no_meaning() -> None:
    with pytest.raises(SettingError, match="whose pseudo-labels do not come from the model") as error:
        checked("method=label_propagation", "debias=debiaspl")
    assert str(error.value).startswith("debias=debiaspl: ")
    for method in ("mixmatch", "mean_teacher"):
        with pytest.raises(SettingError, match=r"debias\.margin_loss=false"):
            checked(f"method={method}", "train.ema_decay=0.9", "debias=debiaspl")


def test_references_of_a_debiased_run_have_no_debiasing() -> None:
    summary = {"steps": 10, "labeled_steps": 10}
    plain, debiased = checked("method=fixmatch"), checked("method=fixmatch", "debias=debiaspl")
    assert plain.id != debiased.id
    for kind, config in reference_configs(debiased.config, summary).items():
        assert schema.validate(config).config["debias"] == {"name": "none"}
        assert run_id(config) == run_id(reference_configs(plain.config, summary)[kind])
