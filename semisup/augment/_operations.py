"""RandAugment's 14 operations (arXiv 1909.13719, with FixMatch's ranges, 2001.07685), a batch at a time.

Every image has its own operation and its own amount. Each operation is a table of 256 entries per channel, a blend
of pixels, or a warp; so a batch is sorted by operation, all tables are looked up at once, all warps are one warp,
and the order is restored. Nothing loops over images.

Values are whole after every operation, as in Pillow, by whose operations FixMatch was trained: the results are
Pillow's to the bit, but for AutoContrast, which is exact here and may be 1/255 less there, and for the few pixels of
a rotation or a shear whose source lies on the border of two. torchvision's uint8 operations differ by 1/255 where its
gray is rounded down and Pillow's to nearest.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from semisup.augment._warp import warp_nearest
from semisup.transfer import to_device

RANGES = {
    "autocontrast": (0.0, 1.0, 1.0),
    "equalize": (0.0, 1.0, 1.0),
    "brightness": (1.0, 0.05, 0.95),
    "contrast": (1.0, 0.05, 0.95),
    "posterize": (8.0, 4.0, 8.0),
    "solarize": (256.0, 0.0, 256.0),
    "rotate": (0.0, -30.0, 30.0),
    "shear_x": (0.0, -0.3, 0.3),
    "shear_y": (0.0, -0.3, 0.3),
    "translate_x": (0.0, -0.3, 0.3),
    "translate_y": (0.0, -0.3, 0.3),
    "color": (1.0, 0.05, 0.95),
    "sharpness": (1.0, 0.05, 0.95),
    "identity": (0.0, 0.0, 0.0),
}
"""Operation -> the amount that changes nothing, and the least and the largest amount at full strength."""

OPERATIONS = tuple(RANGES)


def amounts(kind: Tensor, uniform: Tensor, strength: float) -> Tensor:
    """What `uniform` in [0, 1) means to each operation, between its neutral amount and its full range:

        neutral + strength (low + uniform (high - low) - neutral)

    Args:
        kind: int64, places in OPERATIONS.
        uniform: float32 of the same shape.

    Returns:
        float32 of the same shape.
    """
    neutral, low, high = torch.tensor(list(RANGES.values()))[kind].unbind(-1)
    return neutral + strength * (low + uniform * (high - low) - neutral)


def operate(pixels: Tensor, kind: Tensor, amount: Tensor) -> Tensor:
    """Every image by its own operation.

    Args:
        pixels: (n, C, S, S) uint8, C 1 or 3, on any device.
        kind: (n,) int64 on the CPU, places in OPERATIONS; so how many images each has is known without waiting.
        amount: (n,) float32 on the CPU; what it means stands at each operation.

    Returns:
        (n, C, S, S) uint8, new.
    """
    order = kind.argsort(stable=True)
    counts = torch.bincount(kind, minlength=len(OPERATIONS)).tolist()
    tabled, warped = sum(counts[: len(_TABLES)]), sum(counts[: len(_TABLES) + len(_MATRICES)])
    on_cpu = _runs(amount[order], counts)
    matrix = torch.cat([make(on_cpu[name], pixels.shape[-1]) for name, make in _MATRICES.items()])

    def move(values: Tensor) -> Tensor:
        return to_device(values, pixels.device)

    ordered = pixels.index_select(0, move(order))
    image, value = _runs(ordered, counts), _runs(move(amount[order]), counts)
    table = [make(image[name], value[name]).expand(-1, pixels.shape[1], -1) for name, make in _TABLES.items()]
    done = (
        torch.cat(table).gather(2, ordered[:tabled].flatten(2).long()).view_as(ordered[:tabled]),
        warp_nearest(ordered[tabled:warped], move(matrix)),
        color(image["color"], value["color"]),
        sharpness(image["sharpness"], value["sharpness"]),
        image["identity"],
    )
    return torch.cat(done).index_select(0, move(order.argsort()))


def autocontrast(pixels: Tensor, share: Tensor) -> Tensor:
    """Each channel stretched to 0 ... 255; `share` (m,) in [0, 1] of that in a blend. A table, (m, C, 256) uint8."""
    values = _values(pixels)
    low, high = (each.unsqueeze(2).int() for each in (pixels.amin((2, 3)), pixels.amax((2, 3))))
    spread = high - low
    stretched = (255 * (values - low)).div(spread.clamp(min=1), rounding_mode="floor").clamp(0, 255)
    return _blend(values, torch.where(spread > 0, stretched, values), share.view(-1, 1, 1))


def equalize(pixels: Tensor, share: Tensor) -> Tensor:
    """Each channel's histogram made even; `share` (m,) in [0, 1] of that in a blend. A table, (m, C, 256) uint8.

    As Pillow: with step = (pixels less those of the largest value) // 255, value v becomes
    (pixels below v + step // 2) // step. Where the step is 0 nothing changes: always below 16 x 16 pixels.
    """
    m, channels, height, width = pixels.shape
    values = _values(pixels)
    bins = pixels.flatten(2).long() + 256 * torch.arange(m * channels, device=pixels.device).view(m, channels, 1)
    count = torch.zeros(m * channels * 256, dtype=torch.int32, device=pixels.device)
    count = count.scatter_add_(0, bins.flatten(), torch.ones_like(bins, dtype=torch.int32).flatten())
    count = count.view(m, channels, 256)
    largest = count.gather(2, pixels.amax((2, 3)).unsqueeze(2).long())
    step = (height * width - largest).div(255, rounding_mode="floor")  # (m, C, 1)
    below = count.cumsum(2) - count
    even = (below + step // 2).div(step.clamp(min=1), rounding_mode="floor").clamp(max=255)
    return _blend(values, torch.where(step > 0, even, values), share.view(-1, 1, 1))


def brightness(pixels: Tensor, factor: Tensor) -> Tensor:
    """`factor` (m,) in [0, 1]: 1 is the image, 0 black. A table, (m, 1, 256) uint8."""
    values = _values(pixels)
    return _blend(torch.zeros_like(values), values, factor.view(-1, 1, 1))


def contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """`factor` (m,) in [0, 1]: 1 is the image, 0 its mean gray. A table, (m, 1, 256) uint8."""
    size = pixels.shape[-2] * pixels.shape[-1]
    mean = (2 * _gray(pixels).sum((2, 3)) + size).div(2 * size, rounding_mode="floor")  # to nearest, (m, 1)
    return _blend(mean.unsqueeze(2), _values(pixels), factor.view(-1, 1, 1))


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """Only the upper `bits` (m,) of 8 are kept, rounded to whole bits. A table, (m, 1, 256) uint8."""
    level = torch.exp2(8 - bits.round()).int().view(-1, 1, 1)
    values = _values(pixels)
    return (values - values % level).to(torch.uint8)


def solarize(pixels: Tensor, threshold: Tensor) -> Tensor:
    """Values of at least `threshold` (m,) are inverted: 256 is the image. A table, (m, 1, 256) uint8."""
    values = _values(pixels)
    return torch.where(values >= threshold.view(-1, 1, 1), 255 - values, values).to(torch.uint8)


def color(pixels: Tensor, factor: Tensor) -> Tensor:
    """`factor` (m,) in [0, 1]: 1 is the image, 0 its gray. (m, C, S, S) uint8; a gray image stays as it is."""
    return _blend(_gray(pixels), pixels.int(), factor.view(-1, 1, 1, 1))


def sharpness(pixels: Tensor, factor: Tensor) -> Tensor:
    """`factor` (m,) in [0, 1]: 1 is the image, 0 its 3x3 means (the middle counts 5 times). (m, C, S, S) uint8.

    The outermost pixels stay as they are.
    """
    middle = pixels[..., 1:-1, 1:-1].short()
    rows = pixels[..., :-2, :].short() + pixels[..., 1:-1, :] + pixels[..., 2:, :]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * middle
    smooth = (total + 6).div(13, rounding_mode="floor")  # to nearest: a 13th never lies half way
    result = pixels.clone()
    result[..., 1:-1, 1:-1] = _blend(smooth, middle, factor.view(-1, 1, 1, 1))
    return result


def rotate(degrees: Tensor, side: int) -> Tensor:
    """Counterclockwise around the center. A matrix of `warp_nearest`, (m, 6)."""
    angle = torch.deg2rad(degrees)
    cos, sin, center = angle.cos(), angle.sin(), side / 2
    return torch.stack((cos, -sin, center * (1 - cos + sin), sin, cos, center * (1 - sin - cos)), 1)


def shear_x(share: Tensor, side: int) -> Tensor:
    """Row y moves left by `share` y; the top stays. A matrix of `warp_nearest`, (m, 6)."""
    return _matrix(share, 1)


def shear_y(share: Tensor, side: int) -> Tensor:
    """Column x moves up by `share` x; the left side stays. A matrix of `warp_nearest`, (m, 6)."""
    return _matrix(share, 3)


def translate_x(share: Tensor, side: int) -> Tensor:
    """Moves left by `share` of the side, to the nearest pixel. A matrix of `warp_nearest`, (m, 6)."""
    return _matrix(share * side, 2)


def translate_y(share: Tensor, side: int) -> Tensor:
    """Moves up by `share` of the side, to the nearest pixel. A matrix of `warp_nearest`, (m, 6)."""
    return _matrix(share * side, 5)


_TABLES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "autocontrast": autocontrast,
    "equalize": equalize,
    "brightness": brightness,
    "contrast": contrast,
    "posterize": posterize,
    "solarize": solarize,
}
_MATRICES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "rotate": rotate,
    "shear_x": shear_x,
    "shear_y": shear_y,
    "translate_x": translate_x,
    "translate_y": translate_y,
}
assert (*_TABLES, *_MATRICES, "color", "sharpness", "identity") == OPERATIONS, "operate() relies on this order"


def _runs(values: Tensor, counts: list[int]) -> dict[str, Tensor]:
    """Operation -> its part of what is sorted by operation."""
    return dict(zip(OPERATIONS, values.split(counts), strict=True))


def _values(like: Tensor) -> Tensor:
    """(256,) int32, every value that a pixel can have."""
    return torch.arange(256, dtype=torch.int32, device=like.device)


def _blend(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """From `start` at 0 to `end` at 1, both whole and in [0, 255]; rounded down to uint8, as Pillow's `blend`."""
    return (start + share * (end - start)).to(torch.uint8)


def _gray(pixels: Tensor) -> Tensor:
    """(m, 1, S, S) int32 in [0, 255], Pillow's "L" of (m, C, S, S) uint8."""
    if pixels.shape[1] == 1:
        return pixels.int()
    red, green, blue = pixels.int().unsqueeze(2).unbind(1)
    return (19595 * red + 38470 * green + 7471 * blue + 32768).div(65536, rounding_mode="floor")


def _matrix(amount: Tensor, place: int) -> Tensor:
    """(m, 6): the identity of `warp_nearest`, plus `amount` (m,) at one place."""
    matrix = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(len(amount), 1)
    matrix[:, place] += amount
    return matrix
