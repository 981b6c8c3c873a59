"""Crop and rotation against torchvision's, strength, and draws."""

import math

import pytest
import torch

from semisup.augment.crop_rotate import CropRotate
from semisup.core.image_warp import crop_and_rotate
from semisup.core.inference import to_float
from semisup.core.rng import torch_generator
from semisup.runtime.torchvision_compat import torchvision
from tests.conftest import CONF, checked, options


def crop_rotate(strength: float) -> CropRotate:
    return CropRotate(strength=strength, scale_min=0.08, ratio_max=4 / 3, degrees=50)


def ramps(size: int) -> torch.Tensor:
    """(1, 2, S, S): x and y of every pixel. Bilinear resampling reproduces them exactly, so values are places."""
    line = torch.arange(size, dtype=torch.float32)
    return torch.stack((line.expand(size, size), line.view(-1, 1).expand(size, size))).unsqueeze(0)


@pytest.mark.parametrize("degrees", [-50.0, -17.0, 0.0, 30.0, 50.0, 90.0])
@pytest.mark.parametrize("box", [(0, 0, 64, 64), (8, 16, 40, 30), (30, 2, 20, 60), (10, 10, 24, 24)])
def test_crop_and_rotation_have_torchvisions_geometry(degrees: float, box: tuple[int, ...]) -> None:
    functional = torchvision("transforms.v2.functional")
    size = 64
    top, left, height, width = box
    image = ramps(size)
    crop = functional.resized_crop(image, top, left, height, width, [size, size], antialias=False)
    bilinear = torchvision("transforms").InterpolationMode.BILINEAR
    theirs = functional.rotate(crop, degrees, interpolation=bilinear)
    shares = torch.tensor([[left, top, width, height]], dtype=torch.float32) / size
    ours = crop_and_rotate(image, shares, torch.tensor([degrees]))
    inside = functional.rotate(torch.ones_like(crop), degrees, interpolation=bilinear) == 1
    edge = functional.rotate(torch.nn.functional.pad(torch.ones(1, 2, size - 4, size - 4), (2, 2, 2, 2)), degrees) == 1
    both = inside & edge  # two resamplings and one differ within two pixels of the crop's border
    assert both.float().mean() > 0.5
    assert (ours - theirs)[both].abs().max() < 0.02, "pixels"


def test_rotation_fills_with_black_as_torchvision() -> None:
    functional = torchvision("transforms.v2.functional")
    white = torch.ones(1, 1, 65, 65)
    ours = crop_and_rotate(white, torch.tensor([[0.2, 0.2, 0.5, 0.5]]), torch.tensor([40.0]))
    theirs = functional.rotate(white, 40.0)
    assert torch.all((ours == 0) | (ours > 0.999))
    assert ((ours - theirs).abs() > 0.001).float().mean() < 0.02, (
        "only along the border, where torchvision takes the nearest pixel"
    )


@pytest.mark.parametrize("name", options("augment"))
def test_strength_0_is_bit_identical_to_the_input(name: str) -> None:
    augment = checked(f"augment={name}", "augment.strength=0").settings.augment
    pixels = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    before = pixels.clone()
    assert torch.equal(augment.apply(pixels, torch_generator(0, "test")), pixels.float() / 255)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("name", [name for name in options("augment") if name != "none"])
def test_images_are_in_0_1_with_independent_parameters(name: str) -> None:
    augment = checked(f"augment={name}", "augment.strength=1").settings.augment
    one = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    views = augment.apply(one.expand(8, -1, -1, -1), torch_generator(0, "test"))
    assert views.dtype == torch.float32
    assert views.min() >= 0
    assert views.max() <= 1
    assert len({tuple(view.flatten().tolist()) for view in views}) >= 4
    assert torch.equal(views, augment.apply(one.expand(8, -1, -1, -1), torch_generator(0, "test"))), (
        "the same stream, the same views"
    )
    assert not torch.equal(views, augment.apply(one.expand(8, -1, -1, -1), torch_generator(1, "test")))


def test_higher_strength_changes_images_more() -> None:
    pixels = torch.randint(0, 256, (64, 1, 32, 32), dtype=torch.uint8, generator=torch_generator(0, "noise"))
    smooth = torch.nn.functional.avg_pool2d(pixels.float(), 9, 1, 4).to(torch.uint8)
    change = [
        float((crop_rotate(s).apply(smooth, torch_generator(0, "t")) - to_float(smooth)).abs().mean())
        for s in (0, 0.01, 0.1, 0.3, 1)
    ]
    assert change == sorted(change)
    assert 0 == change[0] < change[1] < 0.1 * change[-1], "continuous from nothing on"


def test_full_strength_draws_the_tutorials_ranges() -> None:
    box, degrees = crop_rotate(1).draw(20000, torch_generator(0, "draw"))
    left, top, width, height = box.unbind(1)
    area, ratio = width * height, width / height
    assert area.min() == pytest.approx(0.08, abs=0.005)
    assert 0.99 < area.max() <= 1
    assert ratio.min() == pytest.approx(3 / 4, abs=0.002)
    assert ratio.max() == pytest.approx(4 / 3, abs=0.002)
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + width <= 1 + 1e-6).all()
    assert (top + height <= 1 + 1e-6).all()
    assert degrees.abs().max() == pytest.approx(50, abs=0.1)
    assert degrees.mean().abs() < 1


def test_boxes_have_torchvisions_distribution() -> None:
    transforms = torchvision("transforms.v2")
    crop = transforms.RandomResizedCrop(224, scale=(0.08, 1), ratio=(3 / 4, 4 / 3))
    torch.manual_seed(0)
    image = torch.zeros(3, 224, 224)
    drawn = [crop.make_params([image]) for _ in range(4000)]
    theirs = torch.tensor([[each["left"], each["top"], each["width"], each["height"]] for each in drawn]) / 224
    ours, _ = crop_rotate(1).draw(4000, torch_generator(0, "draw"))
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert torch.quantile(ours, share, 0).numpy() == pytest.approx(
            torch.quantile(theirs, share, 0).numpy(), abs=0.025
        )


def test_half_strength_halves_the_ranges() -> None:
    box, degrees = crop_rotate(0.5).draw(20000, torch_generator(0, "draw"))
    area, ratio = box[:, 2] * box[:, 3], box[:, 2] / box[:, 3]
    assert area.min() == pytest.approx(1 - 0.5 * 0.92, abs=0.01)
    assert ratio.max() == pytest.approx(math.sqrt(4 / 3), abs=0.002)
    assert degrees.max() == pytest.approx(25, abs=0.1)


def test_yaml_has_the_tutorials_ranges() -> None:
    text = (CONF / "augment" / "crop_rotate.yaml").read_text()
    assert "scale_min: 0.08" in text
    settings = checked("augment=crop_rotate").settings.augment
    assert isinstance(settings, CropRotate)
    assert (settings.scale_min, settings.degrees) == (0.08, 50)
    assert settings.ratio_max == pytest.approx(4 / 3)
