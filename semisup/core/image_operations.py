"""RandAugment's 14 operations (arXiv 1909.13719, with FixMatch's ranges, 2001.07685), a batch at a time.

Every image has its own operation and its own amount. Each operation is a table of 256 entries per channel, a blend
of pixels, or a warp; so a batch is sorted by operation, all tables are looked up at once, all warps are one warp,
and the order is restored. Nothing loops over images, and what no image has is not computed.

Whole numbers below 2^24 are exact in float32, whose vectors a processor is best at: so sums, products and quotients
are taken there, and what was to be rounded down is.

Values are whole after every operation, as in Pillow, by whose operations FixMatch was trained: the results are
Pillow's to the bit, but for AutoContrast, which is exact here and may be 1/255 less there, and for the few pixels of
a rotation or a shear whose source lies on the border of two. torchvision's uint8 operations differ by 1/255 where its
gray is rounded down and Pillow's to nearest.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from semisup.core.device import to_device
from semisup.core.image_warp import warp_nearest

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


def magnitudes(kind: Tensor, uniform: Tensor, strength: float) -> Tensor:
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


def apply_operations(pixels: Tensor, kind: Tensor, amount: Tensor) -> Tensor:
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
    sorted_amount = amount[order]

    def move(values: Tensor) -> Tensor:
        return to_device(values, pixels.device)

    ordered = pixels.index_select(0, move(order))
    on_cpu, image = _runs(sorted_amount, counts), _runs(ordered, counts)
    value = _runs(move(sorted_amount), counts)
    if tabled:
        tables = [make(image[name], value[name]) for name, make in _TABLES.items() if len(image[name])]
        table = torch.cat([each.expand(-1, pixels.shape[1], -1) for each in tables])
        part = ordered[:tabled].flatten(2)
        part.copy_(table.gather(2, part.int()))  # of int64 it takes half as long again
    if warped > tabled:
        matrices = [make(on_cpu[name], pixels.shape[-1]) for name, make in _MATRICES.items() if len(on_cpu[name])]
        ordered[tabled:warped] = warp_nearest(ordered[tabled:warped], move(torch.cat(matrices)))
    for name, change in _CHANGES.items():
        if len(image[name]):
            image[name].copy_(change(image[name], value[name]))
    return ordered.index_select(0, move(order.argsort()))


def autocontrast(pixels: Tensor, share: Tensor) -> Tensor:
    """Each channel stretched to 0 ... 255; `share` (m,) in [0, 1] of that in a blend. A table, (m, C, 256) uint8."""
    values = _values(pixels)
    low, high = (each.unsqueeze(2).float() for each in (pixels.amin((2, 3)), pixels.amax((2, 3))))
    spread = high - low
    stretched = (255 * (values - low)).div_(spread.clamp(min=1)).floor_().clamp_(0, 255)
    return _blend(values, torch.where(spread > 0, stretched, values), share.view(-1, 1, 1))


def equalize(pixels: Tensor, share: Tensor) -> Tensor:
    """Each channel's histogram made even; `share` (m,) in [0, 1] of that in a blend. A table, (m, C, 256) uint8.

    As Pillow: with step = (pixels less those of the largest value) // 255, value v becomes
    (pixels below v + step // 2) // step. Where the step is 0 nothing changes: always below 16 x 16 pixels.
    """
    m, channels, height, width = pixels.shape
    values = _values(pixels)
    # in one row: where a GPU is to add in one order, torch waits for it to do so in several
    first = torch.arange(0, m * channels * 256, 256, dtype=torch.int32, device=pixels.device).view(m, channels, 1)
    one = torch.ones((), dtype=torch.int32, device=pixels.device).expand(pixels.numel())
    count = torch.zeros(m * channels * 256, dtype=torch.int32, device=pixels.device)
    count = count.index_add_(0, (pixels.flatten(2) + first).flatten(), one).view(m, channels, 256)
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
    total = _gray(pixels).sum(3).double().sum(2)  # a row's is below 2^24
    mean = (2 * total + size).div_(2 * size).floor_().float()  # to nearest, (m, 1)
    return _blend(mean.unsqueeze(2), _values(pixels), factor.view(-1, 1, 1))


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """Only the upper `bits` (m,) of 8 are kept, rounded to whole bits. A table, (m, 1, 256) uint8."""
    level = torch.exp2(8 - bits.round()).view(-1, 1, 1)
    values = _values(pixels)
    return _bytes((values / level).floor_() * level)


def solarize(pixels: Tensor, threshold: Tensor) -> Tensor:
    """Values of at least `threshold` (m,) are inverted: 256 is the image. A table, (m, 1, 256) uint8."""
    values = _values(pixels)
    return _bytes(torch.where(values >= threshold.view(-1, 1, 1), 255 - values, values))


def color(pixels: Tensor, factor: Tensor) -> Tensor:
    """`factor` (m,) in [0, 1]: 1 is the image, 0 its gray. (m, C, S, S) uint8; a gray image stays as it is."""
    return _blend(_gray(pixels), pixels.float(), factor.view(-1, 1, 1, 1))


def sharpness(pixels: Tensor, factor: Tensor) -> Tensor:
    """`factor` (m,) in [0, 1]: 1 is the image, 0 its 3x3 means (the middle counts 5 times). (m, C, S, S) uint8.

    The outermost pixels stay as they are. All pixels are one row here, for vectors as long as can be: what is a
    neighbor only in that row is of the outermost pixels, which are not used.
    """
    width = pixels.shape[-1]
    row = pixels.flatten().float()
    three = row[:-2] + row[1:-1]
    three += row[2:]  # of the pixel on the right, from the second on
    total = three[: -2 * width] + three[width:-width]
    total += three[2 * width :]  # around every pixel from that of the second row and column on
    middle = row[width + 1 : -width - 1]
    smooth = total.add_(middle, alpha=4).add_(6).div_(13).floor_()  # to nearest: a 13th never lies half way
    around = torch.zeros_like(row)
    around[width + 1 : -width - 1] = smooth
    blended = _blend(around.view(pixels.shape), row.view(pixels.shape), factor.view(-1, 1, 1, 1))
    blended[..., 0] = pixels[..., 0]
    blended[..., -1] = pixels[..., -1]
    blended[..., 0, :] = pixels[..., 0, :]
    blended[..., -1, :] = pixels[..., -1, :]
    return blended


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
_CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"color": color, "sharpness": sharpness}
assert (*_TABLES, *_MATRICES, *_CHANGES, "identity") == OPERATIONS, "operate() relies on this order"


def _runs(values: Tensor, counts: list[int]) -> dict[str, Tensor]:
    """Operation -> its part of what is sorted by operation."""
    return dict(zip(OPERATIONS, values.split(counts), strict=True))


def _values(like: Tensor) -> Tensor:
    """(256,) float32, every value that a pixel can have."""
    return torch.arange(256, dtype=torch.float32, device=like.device)


def _blend(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """From `start` at 0 to `end` at 1, whole floats in [0, 255]; rounded down to uint8, as Pillow's `blend`."""
    return _bytes((end - start).mul(share).add_(start))


def _bytes(values: Tensor) -> Tensor:
    """Floats in [0, 256) rounded down to uint8, by way of int16: a processor is four times as fast so."""
    return values.to(torch.int16).to(torch.uint8)


def _gray(pixels: Tensor) -> Tensor:
    """(m, 1, S, S) whole float32 in [0, 255], Pillow's "L" of (m, C, S, S) uint8."""
    if pixels.shape[1] == 1:
        return pixels.float()
    red, green, blue = pixels.float().unsqueeze(2).unbind(1)
    return (19595 * red).add_(green, alpha=38470).add_(blue, alpha=7471).add_(32768).mul_(2**-16).floor_()


def _matrix(amount: Tensor, position: int) -> Tensor:
    """(m, 6): the identity of `warp_nearest`, plus `amount` (m,) at one place."""
    matrix = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(len(amount), 1)
    matrix[:, position] += amount
    return matrix
