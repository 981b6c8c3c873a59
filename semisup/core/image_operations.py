"""Apply RandAugment's 14 operations (arXiv 1909.13719, with FixMatch's ranges, 2001.07685) to a batch.

Every image has its own operation and magnitude. The batch is sorted by operation, so that there is no loop over images.

Pixel values are rounded to integers after every operation. Results are bit-identical to those of Pillow, which FixMatch
used, with two exceptions. A value after AutoContrast may be 1/255 higher. Where a rotation or shear needs the value at
a point on the border between two input pixels, it may use the other of the two.
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
"""Operation -> three magnitudes: the one that changes nothing, and the lowest and the highest at full strength."""

OPERATIONS = tuple(RANGES)


def magnitudes(kind: Tensor, uniform: Tensor, strength: float) -> Tensor:
    """Map random numbers in [0, 1) to the magnitudes of RandAugment's operations:

        neutral + strength * (low + uniform * (high - low) - neutral)

    RANGES has neutral, low and high of each operation; with the magnitude `neutral`, the image does not change.

    Args:
        kind: int64, indices into OPERATIONS.
        uniform: float32 of the same shape, the random numbers.
        strength: in [0, 1].

    Returns:
        float32 of the same shape.
    """
    neutral, low, high = torch.tensor(list(RANGES.values()))[kind].unbind(-1)
    return neutral + strength * (low + uniform * (high - low) - neutral)


def apply_operations(pixels: Tensor, kind: Tensor, amount: Tensor) -> Tensor:
    """Apply one RandAugment operation to each image of a batch.

    Args:
        pixels: (n, C, S, S) uint8, C 1 or 3, on any device.
        kind: (n,) int64 on the CPU, indices into OPERATIONS.
        amount: (n,) float32 on the CPU, the magnitude of each operation, such as degrees for `rotate`.

    Returns:
        a new tensor, (n, C, S, S) uint8.
    """
    # `kind` is on the CPU, so that counting the operations does not wait for a GPU
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
        part.copy_(table.gather(2, part.int()))  # an int64 index takes 1.5 times as long
    if warped > tabled:
        matrices = [make(on_cpu[name], pixels.shape[-1]) for name, make in _MATRICES.items() if len(on_cpu[name])]
        ordered[tabled:warped] = warp_nearest(ordered[tabled:warped], move(torch.cat(matrices)))
    for name, change in _CHANGES.items():
        if len(image[name]):
            image[name].copy_(change(image[name], value[name]))
    return ordered.index_select(0, move(order.argsort()))


def autocontrast(pixels: Tensor, share: Tensor) -> Tensor:
    """Build (m, C, 256) uint8 lookup tables that stretch the values of each channel to 0 ... 255.

    Args:
        pixels: (m, C, S, S) uint8.
        share: (m,) in [0, 1], strength of the effect; 0 = no change, 1 = the full range.
    """
    values = _values(pixels)
    low, high = (each.unsqueeze(2).float() for each in (pixels.amin((2, 3)), pixels.amax((2, 3))))
    spread = high - low
    stretched = (255 * (values - low)).div_(spread.clamp(min=1)).floor_().clamp_(0, 255)
    return _blend(values, torch.where(spread > 0, stretched, values), share.view(-1, 1, 1))


def equalize(pixels: Tensor, share: Tensor) -> Tensor:
    """Build (m, C, 256) uint8 lookup tables that equalize the histogram of each channel, as in Pillow.

    With the full effect, value v becomes

        ((number of pixels below v) + step // 2) // step,    step = (number of pixels below the largest value) // 255

    If step is 0, as in all images smaller than 16 x 16 pixels, the channel does not change.

    Args:
        pixels: (m, C, S, S) uint8.
        share: (m,) in [0, 1], strength of the effect; 0 = no change, 1 = the full effect.
    """
    m, channels, height, width = pixels.shape
    values = _values(pixels)
    # one dimension: deterministic addition in several dimensions would synchronize a GPU
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
    """Build (m, 1, 256) uint8 lookup tables that change the brightness: a blend of black and the image.

    Args:
        pixels: (m, C, S, S) uint8.
        factor: (m,) in [0, 1]; 0 = black, 1 = the image.
    """
    values = _values(pixels)
    return _blend(torch.zeros_like(values), values, factor.view(-1, 1, 1))


def contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """Build (m, 1, 256) uint8 lookup tables that change the contrast: a blend of the mean gray value and the image.

    Args:
        pixels: (m, C, S, S) uint8.
        factor: (m,) in [0, 1]; 0 = the mean gray value, 1 = the image.
    """
    size = pixels.shape[-2] * pixels.shape[-1]
    total = _gray(pixels).sum(3).long().sum(2)  # the sum of a row is below 2^24; mps has no float64
    mean = (2 * total + size).div(2 * size, rounding_mode="floor").float()  # rounded to nearest, (m, 1)
    return _blend(mean.unsqueeze(2), _values(pixels), factor.view(-1, 1, 1))


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """Build (m, 1, 256) uint8 lookup tables that set the lower bits of each 8-bit value to 0.

    Args:
        pixels: (m, C, S, S) uint8.
        bits: (m,) number of upper bits that remain, rounded to a whole number.
    """
    level = torch.exp2(8 - bits.round()).view(-1, 1, 1)
    values = _values(pixels)
    return _bytes((values / level).floor_() * level)


def solarize(pixels: Tensor, threshold: Tensor) -> Tensor:
    """Build (m, 1, 256) uint8 lookup tables that invert all values of at least `threshold`.

    Args:
        pixels: (m, C, S, S) uint8.
        threshold: (m,) in [0, 256]; 256 = no change.
    """
    values = _values(pixels)
    return _bytes(torch.where(values >= threshold.view(-1, 1, 1), 255 - values, values))


def color(pixels: Tensor, factor: Tensor) -> Tensor:
    """Reduce the color of images.

    Args:
        pixels: (m, C, S, S) uint8.
        factor: (m,) in [0, 1]; 0 = gray, 1 = the image.
    """
    return _blend(_gray(pixels), pixels.float(), factor.view(-1, 1, 1, 1))


def sharpness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Reduce the sharpness of images; the outermost pixels do not change.

    Args:
        pixels: (m, C, S, S) uint8.
        factor: (m,) in [0, 1]; 0 = the image smoothed by a weighted 3x3 mean (weight of the center 5, of the neighbors
            1), 1 = the image.
    """
    width = pixels.shape[-1]
    # all pixels as one long row, for the longest vector operations: only outermost pixels have wrong neighbors in it
    row = pixels.flatten().float()
    three = row[:-2] + row[1:-1]
    three += row[2:]  # sums of three neighbors in a row
    total = three[: -2 * width] + three[width:-width]
    total += three[2 * width :]  # 3x3 sums, from the pixel in the second row and column on
    center = row[width + 1 : -width - 1]
    smooth = total.add_(center, alpha=4).add_(6).div_(13).floor_()  # to nearest: there are no ties
    means = torch.zeros_like(row)
    means[width + 1 : -width - 1] = smooth
    blended = _blend(means.view(pixels.shape), row.view(pixels.shape), factor.view(-1, 1, 1, 1))
    blended[..., 0] = pixels[..., 0]
    blended[..., -1] = pixels[..., -1]
    blended[..., 0, :] = pixels[..., 0, :]
    blended[..., -1, :] = pixels[..., -1, :]
    return blended


def rotate(degrees: Tensor, side: int) -> Tensor:
    """Build affine matrices for `warp_nearest` that rotate images counterclockwise around the center.

    Args:
        degrees: (m,) angles.
        side: side of the images in pixels.

    Returns:
        (m, 6) float32.
    """
    angle = torch.deg2rad(degrees)
    cos, sin, center = angle.cos(), angle.sin(), side / 2
    return torch.stack((cos, -sin, center * (1 - cos + sin), sin, cos, center * (1 - sin - cos)), 1)


def shear_x(share: Tensor, side: int) -> Tensor:
    """Build (m, 6) affine matrices for `warp_nearest` that shift row y of an image left by share * y pixels.

    Args:
        share: (m,), shift of a row relative to the row above it, in pixels.
    """
    return _matrix(share, 1)


def shear_y(share: Tensor, side: int) -> Tensor:
    """Build (m, 6) affine matrices for `warp_nearest` that shift column x of an image up by share * x pixels.

    Args:
        share: (m,), shift of a column relative to the column on its left, in pixels.
    """
    return _matrix(share, 3)


def translate_x(share: Tensor, side: int) -> Tensor:
    """Build (m, 6) affine matrices for `warp_nearest` that shift images left by share * side pixels.

    Args:
        share: (m,), fractions of the side.
        side: side of the images in pixels.
    """
    return _matrix(share * side, 2)


def translate_y(share: Tensor, side: int) -> Tensor:
    """Build (m, 6) affine matrices for `warp_nearest` that shift images up by share * side pixels.

    Args:
        share: (m,), fractions of the side.
        side: side of the images in pixels.
    """
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
assert (*_TABLES, *_MATRICES, *_CHANGES, "identity") == OPERATIONS, "apply_operations() relies on this order"


def _runs(values: Tensor, counts: list[int]) -> dict[str, Tensor]:
    """Divide a tensor whose rows are sorted by operation into one part for each operation.

    Args:
        counts: number of rows of each operation, in the order of OPERATIONS.

    Returns:
        operation -> its rows.
    """
    return dict(zip(OPERATIONS, values.split(counts), strict=True))


def _values(like: Tensor) -> Tensor:
    """Return the values 0, 1, ..., 255 of a pixel as (256,) float32, on the device of `like`."""
    return torch.arange(256, dtype=torch.float32, device=like.device)


def _blend(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Compute start + share * (end - start), rounded down to uint8, as Pillow's `blend` does.

    Args:
        start, end: whole numbers in [0, 255], float.
        share: in [0, 1].
    """
    return _bytes((end - start).mul(share).add_(start))


def _bytes(values: Tensor) -> Tensor:
    """Round floats in [0, 256) down to uint8."""
    # by way of int16: four times as fast on a CPU
    return values.to(torch.int16).to(torch.uint8)


def _gray(pixels: Tensor) -> Tensor:
    """Convert images to gray, as Pillow's mode "L" does.

    Args:
        pixels: (m, C, S, S) uint8.

    Returns:
        (m, 1, S, S) float32, whole numbers in [0, 255].
    """
    if pixels.shape[1] == 1:
        return pixels.float()
    red, green, blue = pixels.float().unsqueeze(2).unbind(1)
    return (19595 * red).add_(green, alpha=38470).add_(blue, alpha=7471).add_(32768).mul_(2**-16).floor_()


def _matrix(amount: Tensor, position: int) -> Tensor:
    """Build affine matrices for `warp_nearest`: the identity with one coefficient changed.

    Args:
        amount: (m,), added to the coefficient.
        position: index of the coefficient, 0 to 5.

    Returns:
        (m, 6) float32.
    """
    matrix = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(len(amount), 1)
    matrix[:, position] += amount
    return matrix
