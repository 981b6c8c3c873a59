"""Networks: shapes at any size, the tutorial's parameter count, torchvision's classifiers and its import."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, leaky_relu, linear

from semisup.core.layers import FusedSequential
from semisup.errors import SettingError
from semisup.model import ScalesInput
from semisup.runner import compatibility
from semisup.runtime.torchvision_compat import torchvision
from tests.conftest import checked


def network(*overrides: str, channels: int = 3, classes: int = 11, size: int = 64) -> nn.Module:
    torch.manual_seed(0)
    return checked(*overrides).settings.model.build(channels, classes, size)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_field_named_scale_alone_does_not_say_that_the_model_scales_its_input() -> None:
    @dataclass(frozen=True)
    class CosineHead:
        scale: float
        takes_features: ClassVar[bool] = True

    assert not isinstance(CosineHead(16.0), ScalesInput)
    for name in ("linear", "mlp"):
        assert isinstance(checked(f"model={name}").settings.model, ScalesInput)


def test_cnn_has_the_tutorials_parameter_count() -> None:
    with torch.device("meta"):
        model = network("model=cnn", size=224)
    convolutions = sum(3 * 3 * before * after + after for before, after in ((3, 64), (64, 128), (128, 256), (256, 512)))
    norms = sum(2 * width for width in (64, 128, 256, 512))
    assert count(model) == convolutions + norms + 25_088 * 1000 + 1000 + 1000 * 11 + 11


@pytest.mark.parametrize("size", [32, 33, 64, 100])
@pytest.mark.parametrize("classes", [2, 11])
def test_cnn_accepts_any_size_from_32(size: int, classes: int) -> None:
    model = network("model=cnn", "model.widths=[4,4,4,4]", "model.hidden=8", size=size, classes=classes)
    assert model(torch.rand(2, 3, size, size)).shape == (2, classes)


def test_cnn_rejects_sizes_below_32() -> None:
    with pytest.raises(
        SettingError, match=r"dataset\.size=31: must be at least 32 with model=cnn, which halves the side 5 times"
    ):
        network("model=cnn", size=31)


@pytest.mark.parametrize("size", [8, 9, 16, 28, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_small_cnn_accepts_any_size(size: int, channels: int) -> None:
    model = network("model=small_cnn", size=size, channels=channels)
    assert model(torch.rand(2, channels, size, size)).shape == (2, 11)
    assert all(module.weight.shape[1] > 0 for module in model if isinstance(module, nn.Conv2d))


@pytest.mark.parametrize("words", [["model=cnn", "model.widths=[4,8,8,8]"], ["model=small_cnn"], ["model=wide_resnet"]])
def test_inference_folds_batchnorm_statistics_into_the_weights(words: list[str]) -> None:
    model, images = network(*words, size=32).double(), torch.rand(4, 3, 32, 32, dtype=torch.float64)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for each in (module.weight, module.bias, module.running_mean, module.running_var):
                each.data.uniform_(0.5, 2)
    passes: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda norm, *_: passes.append(norm))
    model.eval()
    apart = model(images)
    looked = len(passes)
    with torch.no_grad():
        together = model(images)
    assert torch.allclose(apart, together, rtol=1e-9)
    assert len(passes) < 2 * looked, "fewer passes over the activations"
    model.train()
    with torch.no_grad():
        batch = model(images)
    assert torch.equal(model(images), batch), "in training it is the batch's mean and variance"


@pytest.mark.parametrize("more", [{"groups": 2}, {"dilation": 2}, {"stride": 2, "bias": False}, {"padding": "same"}])
def test_folding_supports_every_kind_of_convolution(more: dict[str, Any]) -> None:
    layers, images = (
        FusedSequential(nn.Conv2d(4, 4, 3, **more), nn.BatchNorm2d(4)).double(),
        torch.rand(2, 4, 9, 9).double(),
    )
    layers(images + 1)  # which is remembered
    apart = layers.eval()(images)
    with torch.no_grad():
        assert torch.allclose(apart, layers(images), rtol=1e-9)


def test_fused_sequential_requires_a_batchnorm_after_each_convolution() -> None:
    with pytest.raises(AssertionError, match="BatchNorm must follow each"):
        FusedSequential(nn.Conv2d(1, 1, 1))(torch.rand(1, 1, 2, 2))


@pytest.mark.parametrize(
    ("words", "channels", "classes", "expected"),
    [
        ([], 3, 10, 1_467_626),
        ([], 1, 10, 1_467_626 - 2 * 9 * 16),
        (["model.widen_factor=8"], 3, 100, 23_401_028),
        (["model.depth=10", "model.widen_factor=1"], 3, 10, 77_866),
    ],
)
def test_wide_resnet_has_the_published_parameter_count(
    words: list[str], channels: int, classes: int, expected: int
) -> None:
    with torch.device("meta"):
        model = network("model=wide_resnet", *words, channels=channels, classes=classes)
    assert count(model) == expected


@pytest.mark.parametrize("size", [28, 32, 64, 96])
@pytest.mark.parametrize("channels", [1, 3])
def test_wide_resnet_accepts_any_size(size: int, channels: int) -> None:
    model = network("model=wide_resnet", "model.depth=10", "model.widen_factor=1", size=size, channels=channels)
    assert model(torch.rand(2, channels, size, size)).shape == (2, 11)


def plain_wide_resnet(weights: dict[str, Tensor], images: Tensor, blocks: int) -> Tensor:
    """The same restated without modules, in training: every norm by the batch's own statistics."""

    def active(images: Tensor, name: str) -> Tensor:
        scale, shift = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return leaky_relu(batch_norm(images, None, None, scale, shift, training=True, eps=0.001), 0.1)

    found = conv2d(images, weights["0.weight"], weights["0.bias"], padding=1)
    for group in range(3):
        for block in range(blocks):
            name, stride = f"{group + 1}.{block}", 2 if group and not block else 1
            first = active(found, f"{name}.norm1")
            inner = active(conv2d(first, weights[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.norm2")
            if not block:
                found = conv2d(first if not group else found, weights[f"{name}.shortcut.weight"], stride=stride)
            found = found + conv2d(inner, weights[f"{name}.conv2.weight"], padding=1)
    return linear(active(found, "4").mean(dim=(2, 3)), weights["8.weight"], weights["8.bias"])


def test_wide_resnet_equals_a_functional_implementation() -> None:
    model, images = network("model=wide_resnet", "model.depth=16", size=12), torch.rand(4, 3, 12, 12)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
        expected = plain_wide_resnet(dict(model.named_parameters()), images, blocks=2)
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-4)


def test_wide_resnet_initialization_and_batchnorm_settings() -> None:
    model = network("model=wide_resnet", "model.depth=10", "model.widen_factor=8", classes=100)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert float(module.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
        elif isinstance(module, nn.Linear):
            assert float(module.weight.detach().std()) == pytest.approx((2 / (512 + 100)) ** 0.5, rel=0.02)
        elif isinstance(module, nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (0.001, 0.001)
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            assert not module.bias.any()


def test_wide_resnet_settings_take_effect_and_invalid_depths_are_rejected() -> None:
    quick = network("model=wide_resnet", "model.depth=10", "model.norm_momentum=0.5")
    slow = network("model=wide_resnet", "model.depth=10")
    images = torch.rand(4, 3, 32, 32)
    assert torch.equal(quick(images), slow(images)), "the batch's own statistics, in training"
    assert not torch.equal(quick.eval()(images), slow.eval()(images))
    for depth in (27, 4, 3, 30):
        with pytest.raises(SettingError, match=rf"model\.depth={depth}: must be 10, 16, 22, 28, \.\.\. \(6 n \+ 4\)"):
            checked("model=wide_resnet", f"model.depth={depth}")
    with pytest.raises(SettingError, match=r"model\.widen_factor=0: must be at least 1"):
        checked("model=wide_resnet", "model.widen_factor=0")


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_small", "densenet121", "squeezenet1_1", "shufflenet_v2_x0_5"]
)
def test_torchvision_classifiers_accept_color_and_gray_images(name: str) -> None:
    model = network("model=torchvision", f"model.architecture={name}", size=64).eval()
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 11)
    assert model(torch.rand(2, 1, 64, 64)).shape == (2, 11), "gray images are repeated over the channels"


@pytest.mark.parametrize(("name", "size"), [("googlenet", 64), ("inception_v3", 96)])
def test_networks_with_auxiliary_heads_return_one_output_in_training(name: str, size: int) -> None:
    with torch.device("meta"):
        model = network("model=torchvision", f"model.architecture={name}", size=size)
        assert model(torch.rand(2, 3, size, size)).shape == (2, 11)


def test_unknown_architecture_and_weights_are_rejected_by_name() -> None:
    with pytest.raises(SettingError, match=r"model\.architecture=resnt18: .* \(did you mean resnet18\?\)"):
        network("model=torchvision", "model.architecture=resnt18")
    with pytest.raises(
        SettingError,
        match=r"model\.weights=imagenet: must be null, the path of a file .*, or one of IMAGENET1K_V1",
    ):
        network("model=torchvision", "model.weights=imagenet")


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_pretrained_weights_are_loaded_and_the_head_is_replaced(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The download itself is torchvision's; here its cache already holds a file of the same format."""
    models = torchvision("models")
    weights = models.get_model_weights(name).DEFAULT
    torch.manual_seed(1)
    original = models.get_model(name, weights=None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(original.state_dict(), folder / Path(weights.url).name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = network("model=torchvision", f"model.architecture={name}", "model.weights=DEFAULT", size=224)
    first = next(iter(original.parameters()))
    assert torch.equal(next(iter(model.network.parameters())), first)
    assert float(model.mean[0, 0, 0, 0]) == pytest.approx(0.485)
    with torch.no_grad():
        assert model.eval()(torch.rand(1, 3, 224, 224)).shape == (1, 11)


def test_image_size_that_a_network_rejects_is_reported_before_any_work() -> None:
    config = checked("model=torchvision", "model.architecture=alexnet", "dataset.size=16")
    counts = {"labeled": 40, "unlabeled": 100, "validation": 10}
    with pytest.raises(SettingError, match=r"dataset\.size=16: model=torchvision does not accept this size"):
        compatibility.check_compatibility(config, list("ab"), counts, 3)
    vit = checked("model=torchvision", "model.architecture=vit_b_16", "dataset.size=64")
    with pytest.raises(SettingError, match=r"dataset\.size=64: .*224"):
        compatibility.check_compatibility(vit, list("ab"), counts, 3)


def test_network_that_computes_its_widths_is_checked() -> None:
    regnet = checked("model=torchvision", "model.architecture=regnet_y_400mf", "dataset.size=32")
    compatibility.check_compatibility(regnet, list("ab"), {"labeled": 40, "unlabeled": 100, "validation": 10}, 3)


def test_incompatible_settings_and_data_are_rejected() -> None:
    counts = {"labeled": 40, "unlabeled": 100, "validation": 10}
    with pytest.raises(SettingError, match="has no validation images"):
        compatibility.check_compatibility(checked(), list("ab"), counts | {"validation": 0}, 1)
    with pytest.raises(SettingError, match="method=self_training: needs unlabeled images"):
        compatibility.check_compatibility(checked(), list("ab"), counts | {"unlabeled": 0}, 1)
    resnet = ("model=torchvision", "dataset.size=32")
    with pytest.raises(SettingError, match=r"train\.batch_size=13: leaves a batch of one .* BatchNorm"):
        compatibility.check_compatibility(checked(*resnet, "train.batch_size=13"), list("ab"), counts, 3)
    compatibility.check_compatibility(checked(*resnet, "train.batch_size=16"), list("ab"), counts, 3)
    compatibility.check_compatibility(checked("train.batch_size=13"), list("ab"), counts, 1)


WHOLE = """
import sys, types
sys.path.insert(0, {folder!r})
from semisup.runtime.torchvision_compat import torchvision
module = torchvision()
assert module.marker == 'whole', module
assert 'torchvision._meta_registrations' not in sys.modules
print('untouched')
"""

BROKEN = """
import sys
sys.path.insert(0, {folder!r})
from semisup.runtime.torchvision_compat import torchvision
assert torchvision().marker == 'repaired'
print('repaired')
"""


@pytest.mark.parametrize(
    ("code", "init", "said"),
    [
        (WHOLE, "marker = 'whole'", "untouched"),
        (BROKEN, "from torchvision import _meta_registrations\nmarker = 'repaired'", "repaired"),
    ],
)  # fmt: skip
def test_torchvision_import_is_repaired_only_if_broken(tmp_path: Path, code: str, init: str, said: str) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(init)
    (package / "_meta_registrations.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    done = subprocess.run(
        [sys.executable, "-c", code.format(folder=str(tmp_path))], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == said, done.stderr


def test_other_torchvision_errors_are_raised_unchanged(tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('something else')")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from semisup.runtime.torchvision_compat import torchvision
torchvision()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "something else" in done.stderr
