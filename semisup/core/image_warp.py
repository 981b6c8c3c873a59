"""Warp a batch of images, each with its own parameters: bilinear (crops, rotations) or nearest pixel (RandAugment)."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def crop_and_rotate(images: Tensor, box: Tensor, degrees: Tensor) -> Tensor:
    """Crop each image to a box, resize the crop to the image size, rotate it, and fill the rest with black.

    Let (x, y) in [-1, 1] be the center of an output pixel, x to the right and y down. Rotating back by the angle a
    gives its position in the crop, and the box gives its position in the input:

        u = x * cos(a) - y * sin(a)        X = width * u + (2 * left + width - 1)
        v = x * sin(a) + y * cos(a)        Y = height * v + (2 * top + height - 1)

    Args:
        images: (n, C, S, S) float.
        box: (n, 4) float: left, top, width, height as fractions of the side, in [0, 1].
        degrees: (n,) float, counterclockwise, as in torchvision's `rotate`.

    Returns:
        (n, C, S, S) float; 0 where |u| > 1 or |v| > 1.
    """
    n, _, height, width = images.shape
    angle = torch.deg2rad(degrees).view(n, 1, 1)
    x = _centers(width, images).view(1, 1, width)
    y = _centers(height, images).view(1, height, 1)
    cos, sin = angle.cos(), angle.sin()
    u = x * cos - y * sin  # (n, S, S)
    v = x * sin + y * cos
    left, top, box_width, box_height = box.view(n, 4, 1, 1).unbind(1)
    across = (u * box_width).add_(2 * left + box_width - 1)
    down = (v * box_height).add_(2 * top + box_height - 1)
    inside = torch.maximum(u.abs_(), v.abs_()).le_(1)  # (n, S, S) float, 1 or 0: 20 times as fast as a boolean mask
    grid = torch.view_as_real(torch.complex(across, down))  # interleaved, in an eighth of the time of `stack`
    warped = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return warped.mul_(inside.unsqueeze(1))


def warp_nearest(pixels: Tensor, matrix: Tensor) -> Tensor:
    """Warp each image by an affine map with nearest-neighbor sampling; fill the rest with black.

    Let (x, y) be the center of an output pixel, in pixels from the top left corner of the image, so that the first
    pixel has (0.5, 0.5). The output pixel gets the value of the input pixel that contains the point

        X = a * x + b * y + c
        Y = d * x + e * y + f

    as in Pillow's `transform` with AFFINE and NEAREST.

    Args:
        pixels: (n, C, S, S).
        matrix: (n, 6) float32, the coefficients a to f of each image, on the same device.

    Returns:
        a new tensor, (n, C, S, S) of the same type.
    """
    n, _, height, width = pixels.shape
    assert height == width, "images are square"
    a, b, c, d, e, f = matrix.view(n, 6, 1, 1).unbind(1)
    x = (torch.arange(width, device=pixels.device) + 0.5).view(1, width)
    y = (torch.arange(height, device=pixels.device) + 0.5).view(height, 1)
    position = torch.complex(a * x, d * x) + torch.complex(
        b * y, e * y
    )  # X + i Y: one pass, in the memory layout of grid_sample
    position += torch.complex(c, f)
    whole = torch.view_as_real(position).floor_()  # (n, S, S, 2)
    grid = whole.mul_(2).add_(1).div_(width).sub_(1)  # center of the source pixel, in [-1, 1]
    sampled = grid_sample(pixels.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return sampled.to(torch.int16).to(pixels.dtype)  # through int16, which is faster


def flip_and_translate(pixels: Tensor, flipped: Tensor, shift: Tensor, max_shift: int) -> Tensor:
    """Flip images horizontally, then translate them by whole pixels with reflect padding.

    The translation equals torchvision's RandomCrop(S, padding=max_shift, padding_mode="reflect") with the corner of the
    crop at max_shift + shift.

    Args:
        pixels: (n, C, S, S), n at least 1.
        flipped: (n,) bool, which images to flip, on the same device.
        shift: (n, 2) int64 in [-max_shift, max_shift], columns and rows, on the same device; positive = to the left and
            up.
        max_shift: largest translation in pixels, less than S.

    Returns:
        a new tensor, (n, C, S, S) of the same type.
    """
    n, channels, height, width = pixels.shape
    mirror = pixels.flip(-1)
    before, after = mirror[..., width - 1 - max_shift : width - 1], pixels[..., 1 : max_shift + 1]
    padded = torch.cat((before, pixels, mirror[..., 1:], after), 3)  # the mirror image starts width - 1 to the right
    pieces = padded.flatten().unfold(0, width, 1)  # (m, S), one starting at each pixel
    position = torch.arange(height, device=pixels.device) + shift[:, 1:]
    row = height - 1 - (height - 1 - position.abs()).abs()  # (n, S), reflected at the border
    plane = torch.arange(0, n * channels * height, height, device=pixels.device).view(n, channels, 1)
    column = max_shift + shift[:, 0] + (width - 1) * flipped
    start = (plane + row.unsqueeze(1)).mul_(padded.shape[3]).add_(column.view(n, 1, 1))
    return pieces.index_select(0, start.flatten()).view(pixels.shape)


def _centers(count: int, like: Tensor) -> Tensor:
    """Return the centers of `count` pixels in a row as coordinates in [-1, 1], (count,)."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) * 2 + 1) / count - 1
