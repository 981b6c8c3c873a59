"""Contracts of every option in conf/, policy and method; a new option is discovered and tested by its YAML."""

import contextlib
import dataclasses
import math
import pickle
from functools import cache
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from semisup.config import registry
from semisup.core.events import EvalEnd, Finished, PoolLabeled
from semisup.core.rng import torch_generator
from semisup.core.sampling import infinite_batch
from semisup.core.types import Images, PseudoLabels
from semisup.errors import SettingError
from semisup.method import LOG_SUMS, OnlineMethod, Position
from semisup.runner import compatibility
from semisup.training.loop import train
from semisup.training.state import TrainingData, make_context, start
from tests.conftest import (
    CONF,
    checked,
    choose,
    combinations,
    compose,
    composed_by_hydra,
    options,
    prepared,
    toy_problem,
    value_of,
)
from tests.encoder.toy import encoder_words
from tests.pseudo_labels import P1, labels_of, policy_context, random_labels
from tests.second_values import second_values

ALL = [(group, name) for group in registry.GROUPS for name in options(group)]


def chosen(group: str, name: str) -> Any:
    """Validate a config with this option, small enough to run."""
    missing = OmegaConf.missing_keys(compose(f"{group}={name}")) if group != "encoder" else set()
    more = encoder_words(name) if group == "encoder" else []
    return checked(f"{group}={name}", *(f"{key}=somewhere" for key in sorted(missing)), EMA, *more)


@pytest.mark.parametrize("first", range(3))
def test_options_of_all_groups_compose_as_hydra_composes_them(first: int) -> None:
    """The tests compose options alone and combine them, because options of different groups are independent."""
    words = tuple(f"{group}={(names := options(group))[first % len(names)]}" for group in registry.GROUPS)
    combined, composed = compose(*words), pickle.loads(composed_by_hydra(words))
    assert OmegaConf.to_yaml(combined) == OmegaConf.to_yaml(composed)


@pytest.mark.parametrize(("group", "name"), ALL)
def test_yaml_has_exactly_the_fields_and_code_has_no_defaults(group: str, name: str) -> None:
    node = chosen(group, name).config[group]
    cls = registry.settings_class(group, node["name"])
    fields = {field.name: field for field in dataclasses.fields(cls)}
    assert set(node) == {"name", *fields}
    for field in fields.values():
        assert field.default is dataclasses.MISSING, f"{cls.__name__}.{field.name} has a default outside conf/"
        assert field.default_factory is dataclasses.MISSING
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert (CONF / group / f"{name}.yaml").read_text().startswith("#"), "the YAML has no head comment"


@pytest.mark.parametrize("group", registry.GROUPS)
def test_modules_and_yamls_of_a_group_match(group: str) -> None:
    named = {yaml.safe_load((CONF / group / f"{name}.yaml").read_text()).get("name") for name in options(group)}
    assert named - {None} == set(registry.option_names(group))


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_experiment_has_a_command_and_valid_settings(path: Any) -> None:
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("command:" in line for line in head)
    config = an_experiment(path.stem)
    assert config.run.name == path.stem
    compatibility.check_control_is_fair(config)
    channels = 1 if config.config["dataset"]["name"] == "digits" else 3
    compatibility.check_compatibility(
        config, list("0123456789"), {"labeled": 250, "unlabeled": 1000, "validation": 100}, channels
    )


@pytest.mark.parametrize("policy", options("threshold"))
@pytest.mark.parametrize("name", ["fixmatch_cifar10", "fine_tuning"])
def test_recipe_differs_between_policies_in_the_threshold_only(name: str, policy: str) -> None:
    plain, other = an_experiment(name).config, an_experiment(name, f"threshold={policy}").config
    assert other["threshold"]["name"] == policy
    assert {**plain, "threshold": None} == {**other, "threshold": None}


def an_experiment(name: str, *overrides: str) -> Any:
    """Validate an experiment without pretrained weights, with a data folder if it requires one."""
    composed = compose(f"experiment={name}")
    root = ["dataset.root=somewhere"] if OmegaConf.is_missing(composed.dataset, "root") else []
    weights = ["model.weights=null"] if composed.model.get("weights") else []  # no download
    return checked(f"experiment={name}", *root, *weights, *overrides)


# Threshold policies ---------------------------------------------------------------------------------------------------

POLICIES = options("threshold")


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("pool", [5, 50])  # the whole unlabeled set, and a batch of it
def test_weights_are_in_0_1_and_no_input_is_changed_in_place(name: str, pool: int) -> None:
    policy = chosen("threshold", name).settings.threshold
    memory, index = policy.init(3, pool), torch.arange(5)
    for round_ in range(4):
        labels = labels_of(P1.roll(round_, 0))
        copies = [each.clone() for each in (*labels, *memory.values())]
        selection, after = policy.select(labels, index, policy_context(progress=round_ / 4), memory)
        assert all(torch.equal(a, b) for a, b in zip(copies, (*labels, *memory.values()), strict=True))
        assert selection.weight.shape == (5,)
        assert selection.threshold.shape == (3,)
        assert ((selection.weight >= 0) & (selection.weight <= 1)).all()
        assert set(after) == set(memory)
        assert all(isinstance(value, torch.Tensor) for value in after.values())
        memory = after


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("pool", [40, 400])
def test_permuting_the_images_permutes_the_weights(name: str, pool: int) -> None:
    policy = chosen("threshold", name).settings.threshold
    labels, index = random_labels(40, 5, seed=1, sharpness=4), torch.arange(40)
    order = torch.randperm(40, generator=torch_generator(0, "order"))
    original, _ = policy.select(labels, index, policy_context(5), policy.init(5, pool))
    shuffled, _ = policy.select(
        PseudoLabels(*(each[order] for each in labels)), index[order], policy_context(5), policy.init(5, pool)
    )
    assert torch.allclose(original.weight[order], shuffled.weight, atol=1e-6)


@pytest.mark.parametrize("name", POLICIES)
def test_empty_batch_gives_empty_weights(name: str) -> None:
    policy = chosen("threshold", name).settings.threshold
    none = PseudoLabels(torch.zeros(0, 3), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    selection, _ = policy.select(none, none.targets, policy_context(), policy.init(3, 0))
    assert selection.weight.shape == (0,)


def select(labels: PseudoLabels, *overrides: str, progress: float = 0.5) -> list[float]:
    policy = checked(*overrides).settings.threshold
    selection, _ = policy.select(
        labels,
        torch.arange(len(labels.targets)),
        policy_context(progress=progress),
        policy.init(3, len(labels.targets)),
    )
    return [float(weight) for weight in selection.weight]


def test_fixed_gives_the_published_numbers_and_the_extremes() -> None:
    assert select(labels_of(P1), "threshold=fixed", "threshold.tau=0.95") == [1, 0, 0, 1, 0]
    assert select(labels_of(P1), "threshold=fixed", "threshold.tau=0") == [1] * 5
    assert select(labels_of(P1), "threshold=fixed", "threshold.tau=1") == [0] * 5
    edge = labels_of(torch.tensor([[0.75, 0.25, 0.0]]))
    assert select(edge, "threshold=fixed", "threshold.tau=0.75") == [1]
    assert select(edge, "threshold=fixed", "threshold.tau=0.75", "threshold.strict=true") == [0]


def test_ramp_moves_from_tau_start_to_tau() -> None:
    ramp = ("threshold=ramp", "threshold.tau_start=0.9", "threshold.tau=0.5")
    labels = labels_of(torch.tensor([[0.95, 0.05, 0], [0.75, 0.25, 0], [0.6, 0.4, 0]]))
    assert select(labels, *ramp, progress=0.0) == [1, 0, 0]
    assert select(labels, *ramp, progress=0.5) == [1, 1, 0]
    assert select(labels, *ramp, progress=1.0) == [1, 1, 1]
    cosine = (*ramp, "threshold.shape=cosine")
    quarter = 0.9 - 0.4 * (1 - math.cos(math.pi / 4)) / 2
    policy = checked(*cosine).settings.threshold
    selection, _ = policy.select(labels, torch.arange(3), policy_context(progress=0.25), {})
    assert float(selection.threshold[0]) == pytest.approx(quarter)


def test_quantile_selects_the_most_confident_share_of_the_unlabeled_set() -> None:
    labels = random_labels(100, 3, seed=2, sharpness=4)
    for share, count in ((0.0, 0), (0.07, 7), (0.14, 14), (0.2, 20), (0.5, 50), (1.0, 100)):
        weights = select(labels, "threshold=quantile", f"threshold.q={share}")
        assert sum(weights) == count
        chosen = labels.confidence[torch.tensor(weights) > 0]
        rest = labels.confidence[torch.tensor(weights) == 0]
        assert not len(chosen) or not len(rest) or chosen.min() >= rest.max()


def test_quantile_of_batches_converges_to_the_share() -> None:
    policy = checked("threshold=quantile", "threshold.q=0.3", "threshold.momentum=0.9").settings.threshold
    memory, accepted = policy.init(3, 10_000), []
    for step in range(200):
        selection, memory = policy.select(
            random_labels(50, 3, seed=step, sharpness=4), torch.arange(50), policy_context(), memory
        )
        accepted.append(float(selection.weight.mean()))
    assert sum(accepted[50:]) / 150 == pytest.approx(0.3, abs=0.02)
    assert len(set(accepted)) > 5, "a running threshold selects the same share of every batch"


# Methods --------------------------------------------------------------------------------------------------------------

METHODS = options("method")
ONLINE = [name for name in METHODS if issubclass(registry.settings_class("method", name), OnlineMethod)]
EMA = "train.ema_decay=0.9"  # mean_teacher needs it; the others may have it


def run(problem: Any, *overrides: str) -> tuple[list[Any], Any]:
    same = ("augment=weak", "augment.strength=1")  # the weak augmentation of methods that label at every step
    config = checked("model.widths=[8,16]", "train.batch_size=4", "optimizer.lr=0.01", *same, EMA, *overrides)
    state = start(problem, config.settings)
    rows = [event.row() for event in train(problem, config.settings, state)]
    clean = [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in rows if row is not None]
    return clean, state


@cache
def toy_run(*overrides: str) -> tuple[list[Any], Any]:
    """The run on the toy problem, which several tests compare with others."""
    return run(toy_problem(), *overrides)


def eager(method: str, policy: str, **more: object) -> list[str]:
    """Overrides under which a method uses unlabeled images early."""
    return choose("method", method, gate=0, refresh_every=3, **more) + choose(
        "threshold", policy, tau=0.3, warmup_epochs=0
    )


@cache
def supervised(epochs: int) -> tuple[list[Any], Any]:
    """The supervised run."""
    return run(toy_problem(), "method=supervised", f"train.epochs={epochs}")


SEMI = [name for name in METHODS if name != "supervised"]


@cache
def labels_only(method: str, epochs: int) -> tuple[list[Any], Any]:
    """The run of a method with lambda_unlabeled=0."""
    return run(toy_problem(), *eager(method, "fixed", lambda_unlabeled=0), f"train.epochs={epochs}")


def equal_weights(one: Any, other: Any) -> bool:
    pairs = zip(one.student.state_dict().values(), other.student.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("method", "policy"), combinations(SEMI, POLICIES))
def test_lambda_0_is_the_same_run_with_every_policy(method: str, policy: str) -> None:
    epochs = 2 if method in ONLINE else 4  # offline methods label the unlabeled set after the first or third epoch
    rows, state = run(toy_problem(), *eager(method, policy, lambda_unlabeled=0), f"train.epochs={epochs}")
    expected_rows, expected = labels_only(method, epochs)
    assert rows == expected_rows
    assert equal_weights(state, expected)


@pytest.mark.parametrize("method", [name for name in SEMI if name != "mixmatch"])
def test_lambda_0_is_bit_identical_to_the_supervised_run(method: str) -> None:
    """Except mixmatch, which mixes labeled images, and noisy_student above its gate, where it restarts."""
    overrides = choose("method", method, lambda_unlabeled=0, gate=1)
    rows, state = run(toy_problem(), *overrides, "train.epochs=4")
    expected_rows, expected = supervised(4)
    assert rows == expected_rows
    assert equal_weights(state, expected)


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("supervised", "mixmatch")])
def test_selecting_none_is_bit_identical_to_the_supervised_run(method: str) -> None:
    """Except mixmatch, which mixes labeled images with unlabeled ones, selected or not."""
    rows, state = toy_run(*eager(method, "quantile", skip_rejected=True), "threshold.q=0", "train.epochs=4")
    plain, other = supervised(4)
    without = lambda rows: [{k: v for k, v in row.items() if k != "train/unlabeled_loss"} for row in rows]  # noqa: E731
    assert without(row for row in rows if "val/loss" in row) == without(plain)
    assert not any(row.get("train/unlabeled_loss") for row in rows)
    assert all(row["pseudo/count"] == 0 for row in rows if "pseudo/round" in row)
    assert any("pseudo/round" in row for row in rows)
    assert equal_weights(state, other)


@pytest.mark.parametrize("method", SEMI)
def test_run_without_unlabeled_images_is_the_run_with_lambda_0(method: str) -> None:
    rows, state = run(toy_problem(unlabeled=0), *eager(method, "fixed"), "train.epochs=4")
    expected_rows, expected = labels_only(method, 4)
    assert rows == expected_rows
    assert equal_weights(state, expected)


@pytest.mark.parametrize(("method", "policy"), combinations(SEMI, POLICIES))
def test_hidden_labels_affect_diagnostics_only(method: str, policy: str) -> None:
    problem = toy_problem()
    without_truth = dataclasses.replace(problem, hidden_targets=torch.full_like(problem.hidden_targets, -1))
    settings = [*eager(method, policy), f"train.epochs={2 if method in ONLINE else 4}"]
    rows, _ = run(problem, *settings)
    others, _ = run(without_truth, *settings)
    assert any("pseudo/coverage" in row for row in rows)
    assert all(row["pseudo/accuracy"] is not None for row in rows if row.get("pseudo/coverage"))
    assert all(row["pseudo/accuracy"] is None for row in others if "pseudo/coverage" in row)
    hide = lambda rows: [{k: v for k, v in row.items() if k != "pseudo/accuracy"} for row in rows]  # noqa: E731
    assert hide(rows) == hide(others)


@pytest.mark.parametrize("method", METHODS)
def test_permuted_hidden_labels_change_their_own_metrics_only(method: str) -> None:
    problem = toy_problem()
    order = torch.randperm(len(problem.hidden_targets), generator=torch_generator(0, "order"))
    permuted = dataclasses.replace(problem, hidden_targets=problem.hidden_targets[order])
    calibrate = f"labeler.calibrate={str(method != 'label_propagation').lower()}"
    overrides = ("model.widths=[8,16]", "train.batch_size=4", "optimizer.lr=0.01", EMA, calibrate)
    config = checked(*overrides, *eager(method, "fixed"), "train.epochs=5")
    logged: list[list[Any]] = []
    for each in (problem, permuted):
        logged.append([])
        for event in train(each, config.settings, start(each, config.settings)):
            row = {
                k: v for k, v in (event.row() or {}).items() if not k.endswith("_seconds") and k != "pseudo/accuracy"
            }
            logged[-1].append(row)
            if isinstance(event, PoolLabeled):
                logged[-1] += [event.what_if.coverage, event.classes._replace(known=[], right=[])]
            elif isinstance(event, EvalEnd | Finished):
                logged[-1].append(event.what_if)
            if isinstance(event, Finished):
                logged[-1] += [event.summary, event.confusion, event.reliability]
    assert logged[0] == logged[1]


def a_step(method: str, policy: str, *more: str) -> tuple[Any, Any]:
    """Run the last step of an epoch with pseudo-labels and its backward pass; return losses and student."""
    often = choose("method", method, refresh_every=1)[1:]
    config = checked("model.widths=[8,16]", "train.batch_size=4", EMA, *eager(method, policy, ramp=0), *often, *more)
    problem = toy_problem()
    state = start(problem, config.settings)
    training = make_context(problem, config.settings, state)
    memory = prepared(config.settings.method, training, state.memory)
    memory = value_of(config.settings.method.on_evaluation(training, memory, Position(3, 1, 0, 0.5), 0.9))
    state.student.train()
    last = config.settings.method.steps_in_epoch(training, memory) - 1
    losses, _ = config.settings.method.loss(training, memory, Position(9, 1, last, 0.5))
    losses.total.backward()
    return losses, state.student


@pytest.mark.parametrize("method", SEMI)
def test_unlabeled_loss_is_positive_and_has_a_gradient(method: str) -> None:
    losses, student = a_step(method, "fixed", "threshold.tau=0")
    assert float(losses.sums[LOG_SUMS.index("unlabeled_loss")]) > 0
    gradient = [parameter.grad.clone() for parameter in student.parameters()]
    assert all(torch.isfinite(each).all() for each in gradient)
    if method in ONLINE:
        _, without = a_step(method, "quantile", "threshold.q=0")
        pairs = zip(gradient, (parameter.grad for parameter in without.parameters()), strict=True)
        assert any(not torch.equal(one, other) for one, other in pairs), (
            "the unlabeled loss has no effect on the gradient"
        )
    else:
        assert any(each.abs().max() > 0 for each in gradient)


@pytest.mark.parametrize("method", ONLINE)
def test_selecting_none_gives_an_unlabeled_loss_of_exactly_0(method: str) -> None:
    losses, student = a_step(method, "quantile", "threshold.q=0")
    sums = dict(zip(LOG_SUMS, losses.sums.tolist(), strict=True))
    assert sums["unlabeled_loss"] == 0
    assert sums["unlabeled_images"] > 0
    assert all(torch.isfinite(parameter.grad).all() for parameter in student.parameters())


@pytest.mark.parametrize("method", ONLINE)
def test_online_selection_is_logged_at_every_evaluation(method: str) -> None:
    rows, _ = run(toy_problem(), *eager(method, "fixed"), "train.epochs=3")
    logged = [row for row in rows if "pseudo/round" in row]
    assert [row["pseudo/round"] for row in logged] == [1, 2, 3]
    assert all(0 <= row["pseudo/coverage"] <= 1 for row in logged)
    assert all(row["pseudo/threshold"] == pytest.approx(0.3, abs=1e-6) for row in logged)


@pytest.mark.parametrize("method", ONLINE)
def test_report_holds_the_images_since_the_previous_report(method: str) -> None:
    overrides = [*eager(method, "fixed", ratio=1), "train.steps=4", "train.evaluate_every_steps=2"]
    config = checked("model.widths=[8,16]", "train.batch_size=4", EMA, *overrides)
    problem = toy_problem(labeled=12, unlabeled=30)
    events = [
        event
        for event in train(problem, config.settings, start(problem, config.settings))
        if isinstance(event, PoolLabeled)
    ]
    order = infinite_batch(0, "unlabeled", 42, 16, 0)
    for event, seen in zip(events, (order[:8], order[8:]), strict=True):
        logged = (event.selection.targets >= 0).nonzero().squeeze(1)
        assert logged.tolist() == sorted(index for index in seen.tolist() if index < 30)


def between_classes(problem: TrainingData) -> TrainingData:
    """Mix each unlabeled image with one of another class, so that it has similar images of two classes."""
    pixels = problem.unlabeled.pixels[:].float()
    mixed = (0.6 * pixels + 0.4 * pixels.roll(1, dims=0)).to(torch.uint8)
    return dataclasses.replace(problem, unlabeled=dataclasses.replace(problem.unlabeled, pixels=mixed))


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_a_method_changes_a_run(method: str) -> None:
    settings = checked(*choose("method", method), EMA).settings.method
    all_accepted = [*eager(method, "fixed", ramp=0.8, neighbors=41), "threshold.tau=0.35", "train.epochs=6"]
    half_accepted = [*eager(method, "quantile", neighbors=1), "threshold.q=0.5", "train.epochs=6"]
    problem = between_classes(toy_problem()) if method == "label_propagation" else toy_problem()
    runs = ((problem, all_accepted), (toy_problem(), half_accepted))
    results = [(data, overrides, run(data, *overrides)[0]) for data, overrides in runs]
    for field in dataclasses.fields(settings):
        assert any(
            run(data, *overrides, f"method.{field.name}={value}")[0] != result
            for value in second_values(settings, field.name)
            for data, overrides, result in results
        ), field.name


# Losses and debiasing -------------------------------------------------------------------------------------------------

LOSSES = [name for name in options("loss") if name != "cross_entropy"]
DEBIASES = [name for name in options("debias") if name != "none"]


def uneven(problem: TrainingData) -> TrainingData:
    """Leave 8 labeled images of class 0, 3 of class 1 and 1 of class 2, of a problem with 24 labeled images."""
    index, labeled = torch.tensor([*range(0, 24, 3), 1, 4, 7, 2]), problem.labeled
    paths = [labeled.paths[each] for each in index.tolist()]
    few = Images(labeled.pixels[index], labeled.targets[index], paths)
    return dataclasses.replace(problem, labeled=few)


@cache
def supervised_with(loss: str) -> tuple[list[Any], Any]:
    """The supervised run with a loss, on uneven labels."""
    return run(uneven(toy_problem(labeled=24)), "method=supervised", f"loss={loss}", "train.epochs=3")


@pytest.mark.parametrize(("method", "loss"), combinations([name for name in SEMI if name != "mixmatch"], LOSSES))
def test_lambda_0_and_selecting_none_are_the_supervised_run_with_every_loss(method: str, loss: str) -> None:
    """Except mixmatch, which mixes labeled images, and noisy_student above its gate, where it restarts."""
    problem, (_, expected) = uneven(toy_problem(labeled=24)), supervised_with(loss)
    words = f"loss={loss}", "train.epochs=3"
    _, control = run(problem, *choose("method", method, lambda_unlabeled=0, gate=1), *words)
    none = [*eager(method, "quantile", skip_rejected=True), "threshold.q=0"]
    _, selects_none = run(problem, *none, *words)
    assert equal_weights(control, expected)
    assert equal_weights(selects_none, expected)
    assert not equal_weights(control, supervised_with("cross_entropy")[1]), "the loss has no effect"


@pytest.mark.parametrize(
    ("method", "remedy"), combinations(SEMI, [*(f"debias={name}" for name in DEBIASES), "labeler.teachers=3"])
)
def test_lambda_0_is_the_same_run_with_every_debiasing_and_with_several_teachers(method: str, remedy: str) -> None:
    epochs = 2 if method in ONLINE else 4
    rows, state = run(toy_problem(), *eager(method, "fixed", lambda_unlabeled=0), f"train.epochs={epochs}", remedy)
    expected_rows, expected = labels_only(method, epochs)
    assert rows == expected_rows
    assert equal_weights(state, expected)


@pytest.mark.parametrize(("method", "debias"), combinations(SEMI, DEBIASES))
def test_debiasing_changes_a_run_or_is_refused_with_a_reason(method: str, debias: str) -> None:
    words, meaningful = [*eager(method, "fixed"), "train.epochs=4"], False
    with contextlib.suppress(SettingError):
        checked(*words, EMA, f"debias={debias}")
        meaningful = True
    if not meaningful:
        with pytest.raises(SettingError, match=rf"^debias.*method={method}"):
            checked(*words, EMA, f"debias={debias}")
        return
    _, state = run(toy_problem(), *words, f"debias={debias}")
    _, plain = toy_run(*words)
    assert not equal_weights(state, plain)
    none = [*eager(method, "quantile", skip_rejected=True), "threshold.q=0", "train.epochs=4"]
    assert equal_weights(run(toy_problem(), *none, f"debias={debias}")[1], toy_run(*none)[1])


@pytest.mark.parametrize(
    ("group", "name"), [("loss", name) for name in LOSSES] + [("debias", name) for name in DEBIASES]
)
def test_every_setting_of_a_loss_or_debiasing_changes_a_run(group: str, name: str) -> None:
    words = [*eager("fixmatch", "fixed"), "train.epochs=3", *choose(group, name, unlabeled="estimate")]
    problem = uneven(toy_problem(labeled=24))
    settings, (rows, _) = getattr(checked(*words, EMA).settings, group), run(problem, *words)
    for field in dataclasses.fields(settings):
        values = second_values(settings, field.name)
        assert any(run(problem, *words, f"{group}.{field.name}={value}")[0] != rows for value in values), field.name
