"""Optimizers: parameter groups, layer depths, and their state in checkpoints."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

from semisup.core.events import EvalEnd, StepEnd
from semisup.core.layer_depth import layer_depths
from semisup.training.loop import train
from semisup.training.state import start
from tests.conftest import checked, choose, options, toy_problem
from tests.training.test_loop import SMALL, everything, resumed_at, same_weights

# How deep -------------------------------------------------------------------------------------------------------------

BLOCKS = {  # torchvision's: the stem, its blocks, the head
    "alexnet": 8, "vgg11_bn": 11, "resnet18": 10, "resnext50_32x4d": 18, "wide_resnet50_2": 18, "googlenet": 13,
    "inception_v3": 17, "densenet121": 63, "squeezenet1_1": 10, "shufflenet_v2_x0_5": 19, "mobilenet_v2": 20,
    "mobilenet_v3_small": 15, "mnasnet0_5": 21, "regnet_y_400mf": 18, "efficientnet_b0": 19, "convnext_tiny": 23,
    "vit_b_16": 14, "swin_t": 17, "maxvit_t": 8,
}  # fmt: skip
OURS = {
    ("model=cnn",): 6,
    ("model=small_cnn",): 5,
    ("model=wide_resnet",): 14,
    ("model=wide_resnet", "model.depth=10"): 5,
}


def network(*overrides: str, size: int = 224, device: str = "meta") -> nn.Module:
    with torch.device(device):
        return checked(*overrides).settings.model.build(3, 10, size)


def torchvisions(name: str) -> nn.Module:
    return network("model=torchvision", f"model.architecture={name}", device="cpu" if "regnet" in name else "meta")


def check_depths(model: nn.Module, count: int) -> None:
    """From 0 at the first parameter to count - 1 at the last, never less than that of the parameter before."""
    found = layer_depths(model)
    order = [found[parameter] for parameter in model.parameters()]
    assert order == sorted(order)
    assert set(order) == set(range(count))
    last = {id(parameter) for parameter, depth in found.items() if depth == count - 1}
    head = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    assert last == {id(parameter) for parameter in head.parameters()}, "the head, and it alone"


@pytest.mark.parametrize(("name", "count"), BLOCKS.items())
def test_depths_in_torchvision_classifiers(name: str, count: int) -> None:
    check_depths(torchvisions(name), count)


@pytest.mark.parametrize(("overrides", "count"), OURS.items(), ids=[" ".join(each) for each in OURS])
def test_depths_in_our_networks(overrides: tuple[str, ...], count: int) -> None:
    check_depths(network(*overrides), count)


def test_parameters_outside_blocks_have_the_depth_of_the_block_before_them() -> None:
    model = torchvisions("vit_b_16")
    found = layer_depths(model)
    names = {name: found[parameter] for name, parameter in model.network.named_parameters()}
    assert names["class_token"] == names["conv_proj.weight"] == names["encoder.pos_embedding"] == 0
    assert names["encoder.layers.encoder_layer_0.mlp.0.weight"] == 1
    assert names["encoder.layers.encoder_layer_11.ln_1.bias"] == names["encoder.ln.weight"] == 12
    assert names["heads.head.weight"] == 13


def test_shared_parameter_has_its_first_depth_and_a_single_layer_is_a_network() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    found = layer_depths(nn.Sequential(nn.LayerNorm(3), first, second, nn.Linear(3, 2)))
    assert list(found.values()) == [0, 0, 0, 0, 1, 2, 2], "norm, norm, weight, bias; bias; weight, bias"
    assert set(layer_depths(nn.Linear(2, 2)).values()) == {0}


# Groups ---------------------------------------------------------------------------------------------------------------

OPTIMIZERS = options("optimizer")


def groups_of(model: nn.Module, *overrides: str) -> list[dict[str, Any]]:
    return checked(*overrides).settings.optimizer.build(model).param_groups


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("architecture", ["resnet18", "vit_b_16", "convnext_tiny", "efficientnet_b0"])
def test_layer_decay_lowers_the_rate_from_head_to_stem(name: str, architecture: str) -> None:
    model, count = torchvisions(architecture), BLOCKS[architecture]
    groups = groups_of(model, f"optimizer={name}", "optimizer.layer_decay=0.5")
    scale = {parameter: group["lr_scale"] for group in groups for parameter in group["params"]}
    parameters = list(model.parameters())
    assert len(scale) == len(parameters) == sum(len(group["params"]) for group in groups)
    assert scale[parameters[-1]] == 1
    assert scale[parameters[0]] == 0.5 ** (count - 1) == min(scale.values())
    assert set(scale.values()) == {0.5**exponent for exponent in range(count)}
    assert all(group["fused"] for group in groups)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_layer_settings_there_is_one_group_in_model_order(name: str) -> None:
    model = network("model=wide_resnet")
    same = (f"optimizer={name}", "optimizer.layer_decay=1", "optimizer.decay_norm_and_bias=true")
    (group,) = groups_of(model, *same, "optimizer.weight_decay=0.25")
    assert all(one is other for one, other in zip(group["params"], model.parameters(), strict=True))
    assert (group["lr_scale"], group["weight_decay"]) == (1, 0.25)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("model", ["cnn", "wide_resnet"])
def test_normalization_layers_and_biases_can_be_excluded_from_weight_decay(name: str, model: str) -> None:
    built = network(f"model={model}")
    groups = groups_of(built, f"optimizer={name}", "optimizer.decay_norm_and_bias=false", "optimizer.weight_decay=0.25")
    decay = {parameter: group["weight_decay"] for group in groups for parameter in group["params"]}
    assert len(groups) == 2
    for module in built.modules():
        for key, parameter in module.named_parameters(recurse=False):
            free = isinstance(module, nn.BatchNorm2d) or key == "bias"
            assert decay[parameter] == (0 if free else 0.25), (module, key)


def undecayed_names(model: nn.Module, *overrides: str) -> set[str]:
    groups = groups_of(model, "optimizer.weight_decay=0.25", *overrides)
    free = {parameter for group in groups if not group["weight_decay"] for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if parameter in free}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_tokens_and_position_embeddings_are_never_decayed(name: str) -> None:
    all_others = (f"optimizer={name}", "optimizer.decay_norm_and_bias=true")
    vit, swin = torchvisions("vit_b_16"), torchvisions("swin_t")
    assert undecayed_names(vit, *all_others) == {"network.class_token", "network.encoder.pos_embedding"}
    tables = {name for name, _ in swin.named_parameters() if name.endswith("relative_position_bias_table")}
    assert len(tables) == 12
    assert undecayed_names(swin, *all_others) == tables
    with_norm = undecayed_names(vit, f"optimizer={name}", "optimizer.decay_norm_and_bias=false")
    assert with_norm >= {"network.class_token", "network.encoder.pos_embedding", "network.encoder.ln.weight"}
    assert undecayed_names(torchvisions("resnet18"), *all_others) == set()


@pytest.mark.parametrize(
    "architecture", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "xcit_nano_12_p16_224"]
)
def test_weight_decay_groups_equal_timms(architecture: str) -> None:
    pytest.importorskip("timm")
    model: Any = network("model=timm", f"model.architecture={architecture}", device="cpu")
    from timm.optim import param_groups_weight_decay

    without = model.network.no_weight_decay()
    assert without
    for text, exclude in (("true", False), ("false", True)):
        groups = param_groups_weight_decay(
            model.network, 0.25, weight_decay_exclude_1d=exclude, no_weight_decay_list=without
        )
        free = {parameter for group in groups if not group["weight_decay"] for parameter in group["params"]}
        expected = {f"network.{name}" for name, each in model.network.named_parameters() if each in free}
        assert expected
        assert undecayed_names(model, "optimizer=adamw", f"optimizer.decay_norm_and_bias={text}") == expected


def test_defaults_equal_the_tutorials_and_fixmatchs() -> None:
    adamw, sgd = (checked(f"optimizer={name}").config["optimizer"] for name in ("adamw", "sgd"))
    assert (adamw["decay_norm_and_bias"], adamw["layer_decay"]) == (True, 1)
    assert (sgd["decay_norm_and_bias"], sgd["layer_decay"]) == (False, 1)


# Training -------------------------------------------------------------------------------------------------------------

PLAIN: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]] = {
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1, fused=True),
    "sgd": lambda parameters: torch.optim.SGD(
        parameters, lr=0.01, weight_decay=0.1, momentum=0.9, nesterov=True, fused=True
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Plain:
    """torch's own optimizer of `model.parameters()`, as a notebook has it."""

    name: str
    lr: float = 0.01

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        optimizer = PLAIN[self.name](model.parameters())
        for group in optimizer.param_groups:
            group["lr_scale"] = 1.0
        return optimizer


def settings(name: str, **wanted: object) -> Any:
    optimizer = choose("optimizer", name, weight_decay=0.1, **wanted)
    return checked(*SMALL, *optimizer, "method=supervised", "schedule=cosine", "train.epochs=4").settings


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_layer_settings_steps_are_bit_identical_to_torch(name: str) -> None:
    problem, chosen = toy_problem(), settings(name, decay_norm_and_bias="true", layer_decay=1)
    rows, weights, _ = everything(problem, chosen)
    own_rows, own_weights, _ = everything(problem, dataclasses.replace(chosen, optimizer=Plain(name)))
    assert rows == own_rows
    assert same_weights(weights, own_weights)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_layer_settings_take_effect(name: str) -> None:
    problem = toy_problem()
    usual = {"decay_norm_and_bias": "true", "layer_decay": 1}
    first = everything(problem, settings(name, **usual))[1]
    for key, other in (("decay_norm_and_bias", "false"), ("layer_decay", 0.5)):
        assert not same_weights(everything(problem, settings(name, **(usual | {key: other})))[1], first), key


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_groups_scale_the_scheduled_rate_and_the_head_rate_is_logged(name: str) -> None:
    problem, chosen = toy_problem(), settings(name, layer_decay=0.5)
    state = start(problem, chosen)
    for event in train(problem, chosen, state):
        if isinstance(event, StepEnd):
            rate = 0.01 * chosen.schedule.factor((event.step - 1) / 12)
            groups = state.optimizer.param_groups
            assert [group["lr"] for group in groups] == pytest.approx([rate * group["lr_scale"] for group in groups])
            assert len({group["lr_scale"] for group in groups}) == 3
        if isinstance(event, EvalEnd):
            assert event.metrics["lr"] == pytest.approx(rate)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_run_with_groups_resumed_is_bit_identical(name: str) -> None:
    problem, chosen = toy_problem(), settings(name, decay_norm_and_bias="false", layer_decay=0.5)
    rows, weights, end = everything(problem, chosen)
    for stop in (1, 7, 11):
        again_rows, again_weights, again_end = resumed_at(stop, StepEnd, problem, chosen)
        assert again_rows == rows
        assert same_weights(again_weights, weights)
        assert again_end == end
