"""RandAugment against torchvision's and Pillow's own operations, its dial, its draws; and the weak augmentation.

`pytest tests/augment/test_randaugment.py -s -k difference` prints the largest difference of every operation.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

from semisup.augment.randaugment import GRAY, RandAugment, fill_square
from semisup.augment.weak import WeakAugment
from semisup.core import image_operations
from semisup.core.image_operations import OPERATIONS, RANGES, apply_operations, magnitudes
from semisup.core.image_warp import flip_and_translate
from semisup.core.inference import to_float
from semisup.core.rng import torch_generator
from semisup.errors import SettingError
from semisup.runtime.torchvision_compat import torchvision
from tests.conftest import checked

WARPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
BLENDS = [name for name in OPERATIONS if name not in WARPS]
SHAPES = [(1, 32), (3, 32), (1, 33), (3, 33)]


def strong(**changed: Any) -> RandAugment:
    return dataclasses.replace(RandAugment(strength=1.0, n=2, cutout=0.5, flip=False, shift=0.125), **changed)


def pictures(channels: int, side: int) -> Tensor:
    """(28, C, S, S) uint8: noise, smooth, dark, bright, constant, few-valued, and one with a constant channel."""
    generator = torch_generator(0, "pictures", channels, side)

    def noise(count: int, low: int = 0, high: int = 256) -> Tensor:
        return torch.randint(low, high, (count, channels, side, side), generator=generator, dtype=torch.uint8)

    smooth = torch.nn.functional.avg_pool2d(noise(6).float(), 9, 1, 4)
    smooth = (smooth - smooth.amin((2, 3), True)) / (smooth.amax((2, 3), True) - smooth.amin((2, 3), True)) * 200 + 20
    constant = torch.stack([torch.full((channels, side, side), value, dtype=torch.uint8) for value in (0, 1, 127, 255)])
    one_channel = noise(2)
    one_channel[:, 0] = 77
    almost = constant[1:3].clone()
    almost[..., side // 2, side // 3] = 200
    few = noise(4, 0, 2) * 255
    return torch.cat(
        (noise(6), smooth.to(torch.uint8), noise(2, 0, 9), noise(2, 240, 256), constant, one_channel, almost, few)
    )


def places(count: int, side: int) -> Tensor:
    """(n, 3, S, S) uint8: x, y and x of every pixel, counted from 1, so that 0 is black from outside."""
    line = torch.arange(1, side + 1, dtype=torch.uint8)
    x, y = line.expand(side, side), line.view(-1, 1).expand(side, side)
    return torch.stack((x, y, x)).repeat(count, 1, 1, 1)


def alone(name: str, pixels: Tensor, amount: Tensor) -> Tensor:
    """The one operation on every image."""
    return apply_operations(pixels, torch.full((len(pixels),), OPERATIONS.index(name)), amount)


def full_range(name: str, count: int) -> Tensor:
    """(n,) amounts at strength 1, both ends among them."""
    kind = torch.full((count,), OPERATIONS.index(name))
    uniform = torch.rand(count, generator=torch_generator(0, "amount", name))
    uniform[:2] = torch.tensor([0.0, 1.0])
    amount = magnitudes(kind, uniform, 1.0)
    return amount.round() if name == "posterize" else amount


def by_torchvision(name: str, image: Tensor, amount: float) -> Tensor:
    functional = torchvision("transforms.v2.functional")
    side = image.shape[-1]

    def affine(move: tuple[float, float] = (0, 0), shear: tuple[float, float] = (0, 0)) -> Any:
        degrees = [math.degrees(math.atan(each)) for each in shear]
        corner = [0, 0] if any(shear) else None
        return functional.affine(image, 0.0, [-each * side for each in move], 1.0, degrees, center=corner)

    operations: dict[str, Callable[[], Any]] = {
        "autocontrast": lambda: functional.autocontrast(image),
        "equalize": lambda: functional.equalize(image),
        "brightness": lambda: functional.adjust_brightness(image, amount),
        "contrast": lambda: functional.adjust_contrast(image, amount),
        "posterize": lambda: functional.posterize(image, int(amount)),
        "solarize": lambda: functional.solarize(image, amount) if amount <= 255 else image,
        "rotate": lambda: functional.rotate(image, amount),
        "shear_x": lambda: affine(shear=(amount, 0)),
        "shear_y": lambda: affine(shear=(0, amount)),
        "translate_x": lambda: affine(move=(amount, 0)),
        "translate_y": lambda: affine(move=(0, amount)),
        "color": lambda: functional.adjust_saturation(image, amount),
        "sharpness": lambda: functional.adjust_sharpness(image, amount),
        "identity": lambda: image,
    }
    result: Tensor = operations[name]()
    return result


def by_pillow(name: str, image: Tensor, amount: float) -> Tensor:
    functional = torchvision("transforms.v2.functional")
    picture = functional.to_pil_image(image)
    side = image.shape[-1]

    def affine(*matrix: float) -> Image.Image:
        return picture.transform(picture.size, Image.Transform.AFFINE, matrix)

    def sharpness() -> Image.Image:
        return Image.blend(picture.filter(ImageFilter.SMOOTH), picture, amount)

    operations: dict[str, Callable[[], Image.Image]] = {
        "autocontrast": lambda: ImageOps.autocontrast(picture),
        "equalize": lambda: ImageOps.equalize(picture),
        "brightness": lambda: ImageEnhance.Brightness(picture).enhance(amount),
        "contrast": lambda: ImageEnhance.Contrast(picture).enhance(amount),
        "posterize": lambda: ImageOps.posterize(picture, int(amount)),
        "solarize": lambda: ImageOps.solarize(picture, amount),  # type: ignore[arg-type]
        "rotate": lambda: picture.rotate(amount),
        "shear_x": lambda: affine(1, amount, 0, 0, 1, 0),
        "shear_y": lambda: affine(1, 0, 0, amount, 1, 0),
        "translate_x": lambda: affine(1, 0, amount * side, 0, 1, 0),
        "translate_y": lambda: affine(1, 0, 0, 0, 1, amount * side),
        "color": lambda: ImageEnhance.Color(picture).enhance(amount),
        "sharpness": sharpness,
        "identity": lambda: picture,
    }
    result: Tensor = functional.pil_to_tensor(operations[name]())
    return result


def differences(name: str, pixels: Tensor, theirs: Callable[[str, Tensor, float], Tensor]) -> Tensor:
    amount = full_range(name, len(pixels))
    ours = alone(name, pixels, amount)
    expected = torch.stack([theirs(name, image, float(each)) for image, each in zip(pixels, amount, strict=True)])
    return (ours.int() - expected.int()).abs()


@pytest.mark.parametrize("name", OPERATIONS)
def test_largest_difference_from_torchvision_and_pillow(name: str) -> None:
    if name in WARPS:
        pixels = [places(200, side) for side in (32, 33)]
        unit = "pixels"
    else:
        pixels = [pictures(channels, side) for channels, side in SHAPES]
        unit = "1/255"
    largest, share = {}, {}
    for whose in (by_torchvision, by_pillow):
        found = torch.cat([differences(name, each, whose).flatten() for each in pixels])
        largest[whose], share[whose] = int(found.max()), float((found > 0).float().mean())
    print(
        f"\n{name:13} torchvision {largest[by_torchvision]:3} {unit} in {share[by_torchvision]:8.4%} of pixels"
        f"   Pillow {largest[by_pillow]:3} {unit} in {share[by_pillow]:8.4%}"
    )
    if name in WARPS:
        assert share[by_torchvision] < 0.0005, "only where the source lies on the border of two pixels"
        assert share[by_pillow] < 0.0005
    else:
        assert largest[by_torchvision] <= 1
        assert largest[by_pillow] <= 1
        few = 0.01 if name == "autocontrast" else 0.0001
        assert share[by_pillow] < few, "none, where Pillow was not compiled with fused multiply-add"
        assert largest[by_torchvision] == 0 or name in {"autocontrast", "contrast", "color", "sharpness"}


@pytest.mark.parametrize("name", WARPS)
def test_warps_equal_torchvisions_on_images_and_fill_with_black(name: str) -> None:
    for channels, side in SHAPES:
        found = differences(name, pictures(channels, side), by_torchvision)
        assert (found > 0).float().mean() < 0.002, "a whole turn of 30 degrees has its sources on the border of two"
    white = torch.full((50, 1, 32, 32), 255, dtype=torch.uint8)
    warped = alone(name, white, full_range(name, 50))
    assert set(warped.unique().tolist()) == {0, 255}


def test_ranges_equal_the_papers() -> None:
    factor, signed = (1, 0.05, 0.95), (0, -0.3, 0.3)
    assert {
        "autocontrast": (0, 1, 1), "equalize": (0, 1, 1), "identity": (0, 0, 0),
        "brightness": factor, "color": factor, "contrast": factor, "sharpness": factor,
        "posterize": (8, 4, 8), "solarize": (256, 0, 256), "rotate": (0, -30, 30),
        "shear_x": signed, "shear_y": signed, "translate_x": signed, "translate_y": signed,
    } == RANGES  # fmt: skip


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_strength_scales_both_ends_of_a_range_from_neutral(name: str, strength: float) -> None:
    neutral, low, high = RANGES[name]
    kind = torch.full((20000,), OPERATIONS.index(name))
    drawn = magnitudes(kind, torch.rand(20000, generator=torch_generator(0, "dial")), strength)
    tolerance = 0.001 * max(high - low, 1)
    assert drawn.min() == pytest.approx(neutral + strength * (low - neutral), abs=tolerance)
    assert drawn.max() == pytest.approx(neutral + strength * (high - neutral), abs=tolerance)
    middle = neutral + strength * ((low + high) / 2 - neutral)
    assert drawn.mean() == pytest.approx(middle, abs=0.01 * max(high - low, 1)), "evenly"


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("channels", "side"), [*SHAPES, (3, 3), (3, 2), (1, 1)])
def test_neutral_magnitude_changes_nothing(name: str, channels: int, side: int) -> None:
    pixels = pictures(channels, 32)[..., :side, :side] if side < 32 else pictures(channels, side)
    assert torch.equal(alone(name, pixels, torch.full((len(pixels),), RANGES[name][0])), pixels)


def test_half_strength_autocontrast_and_equalize_blend_equally() -> None:
    pixels = pictures(3, 32)
    for name in ("autocontrast", "equalize"):
        whole, half = (alone(name, pixels, torch.full((len(pixels),), share)).int() for share in (1.0, 0.5))
        assert not torch.equal(whole, pixels.int())
        assert (half - (whole + pixels) / 2).abs().max() <= 0.5


def test_autocontrast_leaves_a_constant_channel_unchanged() -> None:
    pixels = torch.randint(40, 200, (1, 3, 32, 32), dtype=torch.uint8, generator=torch_generator(0, "channel"))
    pixels[:, 1] = 77
    for name in ("autocontrast", "equalize"):
        result = alone(name, pixels, torch.ones(1))
        assert torch.equal(result[:, 1], pixels[:, 1])
        for channel in (0, 2):
            assert (result[:, channel].min(), result[:, channel].max()) == (0, 255)


def test_equalize_changes_nothing_below_16_pixels_a_side_as_in_pillow() -> None:
    small, large = (
        torch.randint(0, 99, (4, 1, s, s), dtype=torch.uint8, generator=torch_generator(0, "e")) for s in (15, 17)
    )
    assert torch.equal(alone("equalize", small, torch.ones(4)), small)
    assert not torch.equal(alone("equalize", large, torch.ones(4)), large)


def test_posterize_rounds_to_whole_bits() -> None:
    pixels = torch.full((5, 1, 4, 4), 255, dtype=torch.uint8)
    result = alone("posterize", pixels, torch.tensor([4.0, 4.4, 5.6, 7.4, 7.6]))
    assert result[:, 0, 0, 0].tolist() == [240, 240, 252, 254, 255]


def test_operation_of_an_image_is_independent_of_the_batch() -> None:
    pixels = pictures(3, 32)[:28]
    kind = torch.arange(28) % 14
    kind = kind[torch.randperm(28, generator=torch_generator(0, "order"))]
    amount = magnitudes(kind, torch.rand(28, generator=torch_generator(0, "own")), 1.0)
    together = apply_operations(pixels, kind, amount)
    for number in range(28):
        one = apply_operations(pixels[number : number + 1], kind[number : number + 1], amount[number : number + 1])
        assert torch.equal(one[0], together[number]), OPERATIONS[kind[number]]


def test_changing_one_image_changes_only_its_own_view() -> None:
    pixels = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=torch_generator(0, "batch"))
    changed = pixels.clone()
    changed[7] = 255 - changed[7]
    one, other = (strong(flip=True).apply(each, torch_generator(0, "view")) for each in (pixels, changed))
    differs = (one != other).flatten(1).any(1)
    assert differs.nonzero().flatten().tolist() == [7]


def test_operations_are_applied_in_order() -> None:
    augment, pixels = strong(n=3, cutout=0, shift=0), pictures(3, 32)
    kinds, amount, _ = augment.draw(len(pixels), _after_the_weak_draws(len(pixels)))
    expected = pixels
    for slot in range(3):
        expected = apply_operations(expected, kinds[:, slot], amount[:, slot])
    assert torch.equal(augment.apply(pixels, torch_generator(0, "slots")), to_float(expected))
    assert not torch.equal(expected, apply_operations(pixels, kinds[:, 2], amount[:, 2]))


def _after_the_weak_draws(count: int) -> torch.Generator:
    generator = torch_generator(0, "slots")
    WeakAugment(strength=1, flip=False, shift=0).draw(count, 32, generator)
    return generator


def test_operations_are_drawn_uniformly_with_replacement() -> None:
    kinds, _, _ = strong(n=2).draw(14000, torch_generator(0, "kinds"))
    counts = torch.bincount(kinds.flatten(), minlength=14).float()
    chi_square = float(((counts - 2000) ** 2 / 2000).sum())
    assert chi_square < 34.5, "13 degrees of freedom, one in a thousand"
    pairs = torch.bincount(kinds[:, 0] * 14 + kinds[:, 1], minlength=196).float()
    assert float(((pairs - 14000 / 196) ** 2 / (14000 / 196)).sum()) < 262, "195 degrees of freedom, one in a thousand"


@pytest.mark.parametrize("name", ["randaugment", "weak"])
@pytest.mark.parametrize("channels", [1, 3])
def test_views_are_new_float32_in_0_1_and_a_function_of_the_stream(name: str, channels: int) -> None:
    augment = checked(f"augment={name}", "augment.strength=1", "augment.flip=true").settings.augment
    pixels = pictures(channels, 33)
    before = pixels.clone()
    views = augment.apply(pixels, torch_generator(0, "v"))
    assert (views.dtype, views.shape) == (torch.float32, pixels.shape)
    assert views.min() >= 0
    assert views.max() <= 1
    assert torch.equal(views * 255, (views * 255).round()), "whole values"
    views.fill_(0.5)
    assert torch.equal(pixels, before)
    again, other = (augment.apply(pixels, torch_generator(seed, "v")) for seed in (0, 1))
    assert torch.equal(again, augment.apply(pixels.to(memory_format=torch.channels_last), torch_generator(0, "v")))
    assert not torch.equal(again, other)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_any_number_of_images_and_operations_is_supported(count: int, n: int) -> None:
    assert strong(n=n).apply(pictures(3, 32)[:count], torch_generator(0, "few")).shape == (count, 3, 32, 32)


@pytest.mark.parametrize("make", [lambda s: strong(strength=s, flip=True), lambda s: WeakAugment(s, True, 0.125)])
def test_strength_0_is_the_identity_and_higher_strength_changes_more(make: Callable[[float], Any]) -> None:
    pixels = torch.nn.functional.avg_pool2d(pictures(3, 32)[:6].float(), 9, 1, 4).to(torch.uint8).repeat(40, 1, 1, 1)
    apply = lambda s: make(s).apply(pixels, torch_generator(0, "dial"))  # noqa: E731
    assert torch.equal(apply(0.0), to_float(pixels))
    change = [float((apply(s) - to_float(pixels)).abs().mean()) for s in (0.1, 0.25, 0.5, 1.0)]
    assert change == sorted(change)
    assert change[0] > 0


def test_smallest_strength_changes_values_by_at_most_1_per_operation() -> None:
    pixels = pictures(3, 32)
    change = (strong(strength=1e-4).apply(pixels, torch_generator(0, "small")) - to_float(pixels)).abs()
    assert 0 < float((change * 255).max()) < 2.5, "two operations, each rounding down once"


def test_smallest_strength_mirrors_and_cuts_out_whole_pixels() -> None:
    """What the docstring excludes from that limit: `flip` at every strength above 0, and a square below a pixel."""
    pixels = pictures(3, 32)[:1].expand(64, -1, -1, -1).contiguous()
    views = strong(strength=1e-9, flip=True).apply(pixels, torch_generator(0, "s"))
    mirrored = (views == to_float(pixels.flip(-1))).flatten(1).all(1)
    assert 16 < int(mirrored.sum()) < 48
    square = torch.tensor([[0.5 / 32, 0.5 / 32, 1e-6], [1 / 32, 1 / 32, 1e-6]])
    changed = fill_square(pixels[:2], square) != pixels[:2]
    assert changed.any(1).flatten(1).sum(1).tolist() == [1, 0], "around the center of a pixel, and at its corner"


# CutOut ---------------------------------------------------------------------------------------------------------------


def test_cutout_side_is_uniform_up_to_cutout_times_strength() -> None:
    for strength, largest in ((1.0, 0.5), (0.5, 0.25)):
        _, _, square = strong(strength=strength).draw(20000, torch_generator(0, "square"))
        x, y, side = square.unbind(1)
        assert 0 <= side.min() < 0.001
        assert side.max() == pytest.approx(largest, abs=0.001)
        for share in (0.25, 0.5, 0.75):
            assert torch.quantile(side, share) == pytest.approx(share * largest, abs=0.01)
            assert torch.quantile(x, share) == pytest.approx(share, abs=0.015)
            assert torch.quantile(y, share) == pytest.approx(share, abs=0.015)


def test_cutout_fills_a_square_clipped_at_the_border() -> None:
    white = torch.full((4, 3, 32, 32), 255, dtype=torch.uint8)
    square = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.0, 0.5], [1.0, 0.5, 0.5], [0.5, 0.5, 0.0]])
    result = fill_square(white, square)
    expected = white.clone()
    expected[0, :, 4:12, 12:20] = GRAY
    expected[1, :, :8, :8] = GRAY
    expected[2, :, 8:24, 24:] = GRAY
    assert torch.equal(result, expected)
    assert GRAY == 127
    assert int(white.min()) == 255, "not in place"


def test_cutout_is_last_and_covers_the_drawn_square() -> None:
    augment, black = strong(n=0, shift=0), torch.zeros(500, 1, 32, 32, dtype=torch.uint8)
    views = augment.apply(black, torch_generator(0, "cut"))
    assert set((views * 255).unique().tolist()) == {0.0, 127.0}
    area = (views > 0).float().mean((1, 2, 3))
    assert area.max() <= 17 * 17 / 32**2
    assert area.mean() == pytest.approx(0.0667, abs=0.01), "E[side^2] = 1/12, less what is cut off at the border"
    busy = strong(n=4, shift=0, cutout=0.5).apply(black + 200, torch_generator(0, "cut"))
    assert ((busy * 255).round() == 127).flatten(1).any(1).float().mean() > 0.9, "no operation after it"
    assert (strong(n=0, shift=0, cutout=0).apply(black, torch_generator(0, "cut")) == 0).all()


# Weak -----------------------------------------------------------------------------------------------------------------


def test_translation_equals_torchvisions_crop_with_reflect_padding() -> None:
    functional = torchvision("transforms.v2.functional")
    for side in (32, 33, 8):
        pixels = torch.randint(0, 256, (9, 3, side, side), dtype=torch.uint8, generator=torch_generator(0, "shift"))
        most = side // 8
        shift = torch.tensor([[x, y] for x in (-most, 0, most) for y in (-most, 0, most)])
        mirrored = torch.tensor([True, False, True, False, True, False, True, False, True])
        ours = flip_and_translate(pixels, mirrored, shift, most)
        for image, mirror, (x, y), result in zip(pixels, mirrored, shift.tolist(), ours, strict=True):
            flipped = image.flip(-1) if mirror else image
            padded = functional.pad(flipped, [most] * 4, padding_mode="reflect")
            assert torch.equal(result, functional.crop(padded, most + y, most + x, side, side))


@pytest.mark.parametrize(("strength", "most"), [(1.0, 4), (0.5, 2), (0.24, 0)])
def test_translations_are_uniform_up_to_the_strength(strength: float, most: int) -> None:
    _, shift = WeakAugment(strength, False, 0.125).draw(9000, 32, torch_generator(0, "draw"))
    values, counts = shift.flatten().unique(return_counts=True)
    assert values.tolist() == list(range(-most, most + 1))
    expected = 18000 / (2 * most + 1)
    assert (counts - expected).abs().max() < 5 * math.sqrt(expected)


@pytest.mark.parametrize(
    "make", [lambda flip: strong(n=0, cutout=0, shift=0, flip=flip), lambda flip: WeakAugment(1, flip, 0)]
)
def test_half_of_the_images_are_flipped_only_if_flip_is_set(make: Callable[[bool], Any]) -> None:
    pixels = torch.randint(0, 256, (2000, 1, 4, 4), dtype=torch.uint8, generator=torch_generator(0, "flip"))
    views = make(True).apply(pixels, torch_generator(0, "f"))
    same = (views == to_float(pixels)).flatten(1).all(1)
    mirrored = (views == to_float(pixels.flip(-1))).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert float(mirrored.float().mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.equal(make(False).apply(pixels, torch_generator(0, "f")), to_float(pixels))


def test_flip_changes_no_other_draw() -> None:
    pixels = torch.nn.functional.interpolate(pictures(1, 33)[..., :17].float(), size=(32, 17)).to(torch.uint8)
    even = torch.cat((pixels[..., :16], pixels[..., :16].flip(-1)), -1)  # its own mirror image
    views = [strong(flip=flip).apply(even, torch_generator(0, "f")) for flip in (False, True)]
    assert torch.equal(*views)


# Settings -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("strength", 1.5),
        ("strength", -0.1),
        ("n", -1),
        ("cutout", 1.1),
        ("cutout", -0.5),
        ("shift", 0.6),
        ("shift", -1),
    ],
)
def test_setting_out_of_range_is_rejected_by_name(key: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"{key}={value}"):
        strong(**{key: value})
    if key in {"strength", "shift"}:
        with pytest.raises(SettingError, match=f"{key}={value}"):
            dataclasses.replace(WeakAugment(1.0, False, 0.125), **{key: value})


@pytest.mark.parametrize("change", [{"strength": 0.9}, {"n": 1}, {"cutout": 0.4}, {"flip": True}, {"shift": 0.2}])
def test_every_augmentation_setting_takes_effect(change: dict[str, Any]) -> None:
    pixels = pictures(3, 32)
    assert not torch.equal(
        strong(**change).apply(pixels, torch_generator(0, "s")), strong().apply(pixels, torch_generator(0, "s"))
    )
    if "n" not in change and "cutout" not in change:
        weak = WeakAugment(1.0, False, 0.125)
        changed = dataclasses.replace(weak, **(change if "strength" not in change else {"strength": 0.5}))
        assert not torch.equal(
            changed.apply(pixels, torch_generator(0, "s")), weak.apply(pixels, torch_generator(0, "s"))
        )


def test_yaml_files_have_fixmatchs_settings() -> None:
    assert checked("augment=randaugment").settings.augment == strong()
    assert checked("augment=weak").settings.augment == WeakAugment(strength=1, flip=False, shift=0.125)


def test_augmentation_does_not_synchronize_the_device() -> None:
    """On `meta` there are no values to wait for, so an operation that reads one back fails."""
    pixels = torch.empty(28, 3, 32, 32, dtype=torch.uint8, device="meta")
    kind = torch.arange(28) % 14
    assert image_operations.apply_operations(pixels, kind, torch.ones(28)).shape == pixels.shape
    assert strong(flip=True).apply(pixels, torch_generator(0, "meta")).device.type == "meta"
